// The writers on file of a development server: add, replace and remove references, and export the file. Next: client.js.

import { encodeFile, getPerson, listPeople, putReferences, removePerson, removeReference } from "./client.js";
import { createButton, createElement, createTable, find, formatPercent, onFiles } from "./dom.js";
import { count } from "./words.js";

const EXPORT = "/people.sqlite"; // what a server of mode prod reads
let onChange = () => {};
let chosen = null; // the name of the person whose references are shown
let filter = "";

/** Show the people; action is called after every change. */
export async function openPeople(action) {
  onChange = action;
  await show();
}

async function show(message = "") {
  const { writers } = await listPeople();
  if (!writers.some(({ writer }) => writer === chosen)) chosen = null;
  const person = chosen ? await getPerson(chosen) : null;
  find("people-content").replaceChildren(
    createElement("p", { className: "hint" }, "References are kept as embeddings, not as images. They are biometric data: keep the file and its key safe."),
    createElement("p", { id: "people-message", role: "status" }, message),
    renderForm(), createElement("div", { className: "columns" }, renderList(writers), person ? renderPerson(person) : createElement("p", { className: "hint" }, writers.length ? "Choose a person to see the references." : "Nobody is on file yet.")),
    createElement("div", { className: "buttons" }, createElement("a", { className: "button", href: EXPORT, download: "people.sqlite" }, "Export the file for a server")));
}

/** Run a change, which returns what it has done, and show it; or what the server says against it. */
async function change(work) {
  try {
    await show(await work());
    await onChange();
  } catch (error) {
    find("people-message").className = "failure";
    find("people-message").textContent = error.message;
  }
}

async function enrol(writer, files, replace) {
  const images = await Promise.all(files.map(async (file) => ({ ...(await encodeFile(file)), label: file.name.slice(0, 200) })));
  await change(async () => {
    const { left_out: copies } = await putReferences(writer, images, replace);
    chosen = writer;
    const done = `${writer}: ${count(files.length - copies.length, "reference")} ${replace ? "replaced the earlier ones" : "added"}`;
    return copies.length ? `${done}; left out, because they are copies: ${copies.join(", ")}` : done;
  });
}

function renderForm() {
  const name = createElement("input", { id: "person", maxLength: 200, required: true, autocomplete: "off", spellcheck: false });
  const files = createElement("input", { id: "person-files", type: "file", accept: "image/*,.tif,.tiff", multiple: true, required: true });
  const form = createElement("form", { className: "enrol" }, createElement("label", {}, "Name or number", name), createElement("label", {}, "Genuine signatures", files),
    createElement("button", { className: "button primary", type: "submit" }, "Add person"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    enrol(name.value.trim(), [...files.files], false);
  });
  return form;
}

function renderList(writers) {
  const search = createElement("input", { type: "search", value: filter, "aria-label": "Search people", placeholder: `Search ${count(writers.length, "person").replace("persons", "people")}` });
  const list = createElement("ul", { className: "people-list", "aria-label": "People on file" });
  const draw = () => list.replaceChildren(...writers.filter(({ writer }) => writer.toLowerCase().includes(filter.toLowerCase())).slice(0, 200).map(({ writer, references }) =>
    createElement("li", {}, createButton(`${writer} `, () => { chosen = writer; show(); }, { className: "button person", "aria-pressed": String(writer === chosen) }),
      createElement("span", { className: "hint" }, count(references, "reference")))));
  search.addEventListener("input", () => { filter = search.value; draw(); });
  draw();
  return createElement("div", {}, search, list);
}

function renderPerson({ writer, references, warnings }) {
  const addFiles = (text, id, replace) => createElement("label", { className: "button" }, text,
    Object.assign(createElement("input", { id, type: "file", accept: "image/*,.tif,.tiff", multiple: true }), { onchange: onFiles((files) => files.length && enrol(writer, files, replace)) }));
  const rows = references.map(({ id, label }, index) => [index + 1, label || "no name",
    createButton("Remove", () => change(() => removeReference(writer, id).then(() => `${writer}: one reference removed`)), { "aria-label": `Remove reference ${index + 1} of ${writer}` })]);
  const remove = createButton("Remove person", () => {
    if (confirm(`Remove ${writer} and all references from the file? This cannot be undone.`)) change(() => removePerson(writer).then(() => `${writer} was removed`));
  });
  return createElement("section", { "aria-label": writer }, createElement("h3", {}, writer),
    warnings.map((warning) => createElement("p", { className: "warning" }, describeDisagreement(warning, references))),
    createTable(count(references.length, "reference"), ["number", "file", ""], rows),
    createElement("div", { className: "buttons" }, addFiles("Add references", "person-add", false), addFiles("Replace all", "person-replace", true), remove));
}

function describeDisagreement({ reference, label, value, limit }, references) {
  const name = label || `Reference ${references.findIndex(({ id }) => id === reference) + 1}`;
  return `${name} is unlike the others: beside them it is genuine with a probability of ${formatPercent(value)}, less than ${formatPercent(limit)}. Is it of the same person?`;
}
