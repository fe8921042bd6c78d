// The training card, which only a development server has: settings out, a stream of states in.

import { ask, Refused } from "./ask.js";
import { make } from "./make.js";

const find = (id) => document.getElementById(id);

/** Show the card; whenDone is called when a new model is served. */
export async function open(whenDone) {
  const form = find("train-form");
  const now = await ask("/train");
  form.elements.problem.append(...now.problems.map((name) => make("option", { selected: name === "signature_vs_text" }, name)));
  find("train").hidden = false;
  let before = now.state;
  const stream = new EventSource("/train");
  stream.addEventListener("message", (event) => {
    const state = JSON.parse(event.data);
    show(state);
    if (state.state === "done" && before !== "done") whenDone();
    before = state.state;
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await told(ask("/train", { method: "POST", ...request(form) }));
  });
  find("cancel").addEventListener("click", () => told(ask("/train", { method: "DELETE" })));
}

/** The form as a request: with its zip where one was chosen, else as JSON. */
function request(form) {
  const filled = [...new FormData(form)].filter(([, value]) => (value instanceof File ? value.name : value) !== "");
  if (filled.some(([name]) => name === "file")) {
    const body = new FormData();
    for (const [name, value] of filled) body.append(name, value);
    return { body };
  }
  const settings = Object.fromEntries(filled);
  if (settings.epochs) settings.epochs = Number(settings.epochs);
  return { headers: { "Content-Type": "application/json" }, body: JSON.stringify(settings) };
}

async function told(asking) {
  try {
    await asking;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    find("training").textContent = error.message;
  }
}

function show(state) {
  const running = state.state === "running";
  const words = {
    idle: "", running: state.epochs ? `epoch ${state.epoch} of ${state.epochs}` : "preparing", cancelling: "stopping",
    cancelled: `cancelled; its checkpoint is in ${state.job_dir}`, failed: "failed: see below",
    done: `done: version ${state.version} is served`,
  };
  find("training").textContent = words[state.state] ?? state.state;
  find("cancel").disabled = !running;
  find("train-form").querySelector("[type=submit]").disabled = running || state.state === "cancelling";
  find("progress").hidden = !running;
  if (state.epochs) find("progress").value = state.epoch / state.epochs;
  else find("progress").removeAttribute("value");
  const said = find("said");
  said.hidden = !state.lines.length;
  said.textContent = state.lines.join("\n");
  said.scrollTop = said.scrollHeight;
}
