// Requests to the server, in the contract of Vertex AI; knows nothing of the page. Next: page.js.

const routes = document.body.dataset;

/** An error of the server, with its message and its stable code. */
export class RequestError extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
  }
}

/** Fetch the JSON of a route; throws RequestError. */
export async function fetchJson(route, options = {}) {
  let response;
  try {
    response = await fetch(route, options);
  } catch {
    throw new RequestError(0, { code: "unreachable", message: "the server cannot be reached" });
  }
  const content = await response.json().catch(() => ({ error: { code: "no_json", message: `status ${response.status}` } }));
  if (content.error) throw new RequestError(response.status, content.error);
  return content;
}

export const getHealth = () => fetchJson(routes.health);
export const getModel = () => fetchJson("/model");

/** Request the prediction of one instance; retry while the server is busy. */
export async function predict(instance, parameters = {}, retries = 8) {
  const body = JSON.stringify({ instances: [instance], parameters });
  try {
    const content = await fetchJson(routes.predict, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    return content.predictions[0];
  } catch (error) {
    if (error.status !== 429 || !retries) throw error;
    await new Promise((resolve) => setTimeout(resolve, 1000));
    return predict(instance, parameters, retries - 1);
  }
}

const send = (method, content) =>
  fetchJson("/people", { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });

/** The writers on file, or the references of one; development mode only, as all of these. */
export const listPeople = () => fetchJson("/people");
export const getPerson = (writer) => fetchJson(`/people?writer=${encodeURIComponent(writer)}`);
export const putReferences = (writer, images, replace) => send("POST", { writer, images, replace });
export const removePerson = (writer) => send("DELETE", { writer });
export const removeReference = (writer, reference) => send("DELETE", { writer, reference });

/** Identify the content of a file: its SHA-256; where the browser has none (plain HTTP), name, size and date. */
export async function computeFingerprint(file) {
  if (!crypto.subtle) return `${file.name}:${file.size}:${file.lastModified}`;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer()));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Encode a file as base64, in the contract's form. */
export async function encodeFile(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let start = 0; start < bytes.length; start += 32768) text += String.fromCharCode(...bytes.subarray(start, start + 32768));
  return { b64: btoa(text) };
}
