// The training card of a development server: sends settings, shows a stream of states. Next: client.js.

import { fetchJson, RequestError } from "./client.js";
import { createElement } from "./dom.js";

const find = (id) => document.getElementById(id);

/** Connect the form; call onNewModel when the server has loaded a new model. */
export async function openTraining(onNewModel) {
  const form = find("train-form");
  const initial = await fetchJson("/train");
  form.elements.problem.append(...initial.problems.map((name) => createElement("option", { selected: name === "signature_vs_text" }, name)));
  let previous = initial.state;
  const stream = new EventSource("/train");
  stream.addEventListener("message", (event) => {
    const state = JSON.parse(event.data);
    show(state);
    if (state.state === "done" && previous !== "done") onNewModel();
    previous = state.state;
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await showError(fetchJson("/train", { method: "POST", ...buildRequest(form) }));
  });
  find("cancel").addEventListener("click", () => showError(fetchJson("/train", { method: "DELETE" })));
}

/** Make the request of the form: multipart if a zip was chosen, else JSON. */
function buildRequest(form) {
  const fields = [...new FormData(form)].filter(([, value]) => (value instanceof File ? value.name : value) !== "");
  if (fields.some(([name]) => name === "file")) {
    const body = new FormData();
    for (const [name, value] of fields) body.append(name, value);
    return { body };
  }
  const settings = Object.fromEntries(fields);
  if (settings.epochs) settings.epochs = Number(settings.epochs);
  return { headers: { "Content-Type": "application/json" }, body: JSON.stringify(settings) };
}

async function showError(response) {
  try {
    await response;
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    find("training").textContent = error.message;
  }
}

function show(state) {
  const running = state.state === "running";
  const texts = {
    idle: "", running: state.epochs ? `epoch ${state.epoch} of ${state.epochs}` : "preparing", cancelling: "stopping",
    cancelled: `cancelled; its checkpoint is in ${state.job_dir}`, failed: "failed: see below",
    done: `done: version ${state.version} is served`,
  };
  find("training").textContent = texts[state.state] ?? state.state;
  find("cancel").disabled = !running;
  find("train-form").querySelector("[type=submit]").disabled = running || state.state === "cancelling";
  find("progress").hidden = !running;
  if (state.epochs) find("progress").value = state.epoch / state.epochs;
  else find("progress").removeAttribute("value");
  const log = find("training-log");
  log.hidden = !state.lines.length;
  log.textContent = state.lines.join("\n");
  log.scrollTop = log.scrollHeight;
}
