// The page: what is loaded, references and questions in, answers out. Requests: ask.js; drawing: answers.js; train.js.

import { csv, full, many } from "./answers.js";
import { encoded, health, model, predict } from "./ask.js";
import { figure, make, percent, table } from "./make.js";
import { open as openTraining } from "./train.js";

const AT_A_TIME = 4; // requests; the server refuses more than it has room for
const find = (id) => document.getElementById(id);
let card = null; // what is loaded
let references = []; // {file, image}
let asked = 0; // a newer question makes an older one's answer stale

async function watchHealth() {
  try {
    const found = await health();
    lamp("ready", `ready: ${found.model}, version ${found.version}`);
    if (!card || card.version !== found.version) await showModel();
  } catch (refused) {
    lamp("waiting", refused.message);
    if (refused.code === "no_model") find("question").textContent = "Train a model, then ask it about images";
  }
  setTimeout(watchHealth, card ? 10000 : 500);
}

function lamp(state, text) {
  find("lamp").className = `lamp ${state}`;
  if (find("health").textContent !== text) find("health").textContent = text;
}

async function showModel() {
  card = await model();
  for (const id of ["ask", "loaded"]) find(id).hidden = false;
  find("question").textContent = card.question[0].toUpperCase() + card.question.slice(1);
  for (const id of ["references", "options"]) find(id).hidden = !card.compares;
  if (!card.compares) {
    references = []; // of a model that was served before
    showReferences();
  }
  const facts = {
    Problem: card.problem, Labels: card.labels.join(", "), Network: card.backbone,
    Parameters: card.parameters?.toLocaleString("en"), Precision: `${card.precision}, ${card.engine}`,
    Canvas: card.canvas.join(" x "), Made: new Date(card.created_at).toLocaleString(), Version: card.version,
  };
  find("model").replaceChildren(...Object.entries(facts).filter(([, value]) => value)
    .flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  find("metrics").replaceChildren(...measured());
  const rates = Object.keys(card.thresholds ?? {}).filter((name) => name !== "eer");
  find("far").replaceChildren(make("option", { value: "" }, "equal error rate"),
    ...rates.map((rate) => make("option", { value: rate }, `${percent(Number(rate))} false acceptances`)));
}

const watchHealthOnce = () => showModel().catch((refused) => lamp("waiting", refused.message));

/** Published numbers, from the manifest: of images never seen in training. */
function measured() {
  const { metrics } = card;
  if (metrics.references) {
    const rows = Object.entries(metrics.references).map(([count, of]) => [count, of.eer_skilled, of.eer_random]
      .map((value) => (typeof value === "number" ? value.toFixed(1) : value ?? "")));
    const by = metrics.measured_with ? `, by the ${metrics.measured_with} twin` : "";
    return [table(`Equal error rates on people never seen, in %${by}`, ["references", "skilled", "random"], rows, ["skilled", "random"])];
  }
  const shown = ["accuracy", "roc_auc"].filter((name) => typeof metrics[name] === "number");
  const rows = shown.map((name) => [name === "accuracy" ? "accuracy, %" : "ROC-AUC", metrics[name].toFixed(name === "accuracy" ? 1 : 3)]);
  return rows.length ? [table("On images never seen", ["number", "value"], rows, ["value"])] : [];
}

async function addReferences(files) {
  const added = await Promise.all([...files].map(async (file) => ({ file, image: await encoded(file) })));
  references.push(...added);
  showReferences();
}

function showReferences() {
  find("known").replaceChildren(...references.map((reference, at) => {
    const remove = make("button", { className: "remove", type: "button", "aria-label": `Remove reference ${at + 1}` }, "×");
    remove.addEventListener("click", () => {
      references = references.filter((other) => other !== reference);
      showReferences();
      find("add-references").focus();
    });
    return make("li", {}, figure(URL.createObjectURL(reference.file), reference.file.name, `reference ${at + 1}`), remove);
  }));
}

async function question(files) {
  if (!files.length || !card) return;
  const mine = ++asked;
  const place = find("result");
  place.setAttribute("aria-busy", "true");
  place.replaceChildren(make("p", { className: "hint" }, files.length === 1 ? "Asking…" : `Asking about ${files.length} images…`));
  const shown = files.length === 1 ? await one(files[0]) : await several([...files]);
  if (mine !== asked) return;
  place.replaceChildren(...shown);
  place.setAttribute("aria-busy", "false");
}

async function one(file) {
  const instance = { image: await encoded(file) };
  if (references.length) instance.references = references.map((reference) => reference.image);
  try {
    const explain = references.length > 0 && find("explain").checked;
    const answer = await predict(instance, { ...parameters(), return_ink: true, explain });
    return [full(file.name, URL.createObjectURL(file), answer)];
  } catch (refused) {
    return [failure(file, refused)];
  }
}

const failure = (file, refused) =>
  make("p", { className: "failure" }, make("strong", {}, `${file.name}: `), refused.message);

/** Many files: references are looked at once, then each file is compared with their embeddings. */
async function several(files) {
  const compared = {};
  const enrolled = {};
  try {
    const known = await Promise.all(references.map((reference) => predict({ image: reference.image })));
    if (known.length) {
      const unusable = known.findIndex((answer) => !answer.embedding);
      if (unusable >= 0) throw new Error(`reference ${unusable + 1} is not a signature`);
      compared.reference_embeddings = known.map((answer) => answer.embedding);
      enrolled.encoder = known[0].encoder;
    }
  } catch (refused) {
    return [failure({ name: "References" }, refused)];
  }
  const rows = new Array(files.length);
  let next = 0;
  const work = async () => {
    while (next < files.length) {
      const at = next++;
      try {
        rows[at] = [files[at], await predict({ image: await encoded(files[at]), ...compared }, { ...parameters(), ...enrolled })];
      } catch (refused) {
        rows[at] = [files[at], refused];
      }
    }
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, work));
  const link = make("a", {
    className: "button", download: "answers.csv", href: URL.createObjectURL(new Blob([csv(rows)], { type: "text/csv" })),
  }, "Download CSV");
  return [many(rows), make("p", {}, link)];
}

function parameters() {
  const far = find("far").value;
  return far && references.length ? { far: Number(far) } : {};
}

/** Files out of an input, which then may choose the same ones again. */
const taken = (action) => (event) => {
  const files = [...event.target.files];
  event.target.value = "";
  action(files);
};

function wire() {
  const drop = find("drop");
  find("choose").addEventListener("change", taken(question));
  find("photograph").addEventListener("change", taken(question));
  find("add-references").addEventListener("change", taken(addReferences));
  document.addEventListener("paste", (event) => event.clipboardData.files.length && question(event.clipboardData.files));
  for (const [place, action] of [[document.body, question], [find("references"), addReferences]]) {
    place.addEventListener("dragover", (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
    place.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      drop.classList.remove("over");
      action([...event.dataTransfer.files]);
    });
  }
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
}

wire();
watchHealth();
find("docs").hidden = !document.body.dataset.docs;
if (document.body.dataset.mode === "dev") openTraining(watchHealthOnce);
