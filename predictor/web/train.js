// The training card, which only a development server has: settings out, a stream of states in.

import { ask, Refused } from "./ask.js";
import { make } from "./make.js";

const find = (id) => document.getElementById(id);

/** Show the card; whenDone is called when a new model is served. */
export async function open(whenDone) {
  const form = find("train-form");
  const now = await ask("/train");
  form.elements.problem.append(...now.problems.map((name) => make("option", {}, name)));
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
    const settings = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
    if (settings.epochs) settings.epochs = Number(settings.epochs);
    await told(ask("/train", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(settings) }));
  });
  find("cancel").addEventListener("click", () => told(ask("/train", { method: "DELETE" })));
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
