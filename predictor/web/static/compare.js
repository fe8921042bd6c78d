// What questioned signatures are compared with: reference images, a person on file, or everybody on file.
//
// Next: queue.js sends it with every file.

import { computeFingerprint, encodeFile, listPeople, predict } from "./client.js";
import { createButton, createElement, createFigure, find, onFiles, replaceContent } from "./dom.js";
import { count } from "./words.js";

const references = []; // {file, image, fingerprint, source}
let people = null; // {writers, references} of the server, if it has people on file
let onChange = () => {};

export const getReferences = () => references;

/** Listen to the controls; action is called when the comparison changes. */
export function openCompare(action) {
  onChange = action;
  find("add-references").addEventListener("change", onFiles(addReferences));
  find("writer").addEventListener("change", action);
  for (const radio of document.querySelectorAll("[name=compare]")) radio.addEventListener("change", () => { showKind(); action(); });
}

/** Show what the server has on file; names only in development, where it lists them. */
export async function showPeople(described, mode) {
  people = described ?? null;
  find("compare-kinds").hidden = !people;
  if (!people) document.querySelector("[name=compare][value=images]").checked = true;
  find("compare-identify").textContent = people ? `The nearest of ${count(people.writers, "person")} on file, or unknown.`.replace("persons", "people") : "";
  showKind();
  if (!people || mode !== "dev") return;
  const { writers } = await listPeople();
  find("writers").replaceChildren(...writers.map(({ writer }) => createElement("option", { value: writer })));
}

export const getKind = () => document.querySelector("[name=compare]:checked").value;

function showKind() {
  const kind = getKind();
  find("compare-images").hidden = kind !== "images";
  find("compare-writer").hidden = kind !== "writer";
  find("compare-identify").hidden = kind !== "identify";
}

export async function addReferences(files) {
  const added = await Promise.all(files.map(async (file) =>
    ({ file, image: await encodeFile(file), fingerprint: await computeFingerprint(file), source: URL.createObjectURL(file) })));
  references.push(...added);
  document.querySelector("[name=compare][value=images]").checked = true;
  showKind();
  showReferences();
  onChange();
}

export function clearReferences() {
  for (const { source } of references.splice(0)) URL.revokeObjectURL(source);
  showReferences();
}

function showReferences() {
  replaceContent(find("reference-list"), references.map((reference, index) => {
    const remove = createButton("×", () => {
      URL.revokeObjectURL(references.splice(index, 1)[0].source);
      showReferences();
      onChange();
    }, { className: "remove", "aria-label": `Remove reference ${index + 1}` });
    return createElement("li", {}, createFigure(reference.source, reference.file.name, `reference ${index + 1}`), remove);
  }), () => find("add-references"));
}

/** How many references the comparison has, as far as the page knows; null for people on file. */
export const countReferences = () => (getKind() === "images" ? references.length : null);

async function encodeReference(reference, index) {
  try {
    return await predict({ image: reference.image }, { task: "verify", return_embedding: true });
  } catch (error) {
    error.message = `reference ${index + 1}, ${reference.file.name}: ${error.message}`;
    throw error;
  }
}

/**
 * The comparison as it is now: fields of an instance, and key and label for decisions; isMissing says what it lacks.
 *
 * References are encoded once, so that each file of a queue is compared with their embeddings.
 */
export async function readComparison(isRequired) {
  const kind = getKind();
  if (kind === "identify") return { kind, key: "identify", label: "everybody on file", fields: { identify: true } };
  if (kind === "writer") {
    const writer = find("writer").value.trim();
    if (writer) return { kind, key: `writer:${writer}`, label: `on file: ${writer}`, fields: { writer } };
    return isRequired ? { isMissing: "Name a person on file to compare this signature with." } : { kind: "none", fields: {} };
  }
  const compared = [...references]; // others may be added and removed while the server encodes these
  if (!compared.length) return isRequired ? { isMissing: "Add references to compare this signature with." } : { kind: "none", fields: {} };
  const answers = await Promise.all(compared.map(encodeReference));
  const unusable = answers.findIndex((answer) => !answer.embedding);
  if (unusable >= 0) throw new Error(`reference ${unusable + 1} is not a signature: ${compared[unusable].file.name}`);
  return {
    kind, key: compared.map(({ fingerprint }) => fingerprint).sort().join(","), label: compared.map(({ file }) => file.name).join("; "),
    fields: { reference_embeddings: answers.map((answer) => answer.embedding) }, encoder: answers[0].encoder,
    fullFields: { references: compared.map((reference) => reference.image) },
  };
}
