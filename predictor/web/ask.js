// Requests to the server: the contract of Vertex AI and nothing of the page.

const routes = document.body.dataset;

/** What went wrong, in the server's own words; code is stable. */
export class Refused extends Error {
  constructor(status, error) {
    super(error.message);
    this.status = status;
    this.code = error.code;
  }
}

/** JSON of a route; throws Refused. */
export async function ask(route, options = {}) {
  let response;
  try {
    response = await fetch(route, options);
  } catch {
    throw new Refused(0, { code: "unreachable", message: "the server cannot be reached" });
  }
  const content = await response.json().catch(() => ({ error: { code: "no_json", message: `status ${response.status}` } }));
  if (content.error) throw new Refused(response.status, content.error);
  return content;
}

export const health = () => ask(routes.health);
export const model = () => ask("/model");

/** The answer to one instance; refused for being busy, it asks again. */
export async function predict(instance, parameters = {}, patience = 8) {
  const body = JSON.stringify({ instances: [instance], parameters });
  try {
    const answer = await ask(routes.predict, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    return answer.predictions[0];
  } catch (refused) {
    if (refused.status !== 429 || !patience) throw refused;
    await new Promise((done) => setTimeout(done, 1000));
    return predict(instance, parameters, patience - 1);
  }
}

/** A file as the contract wants it. */
export async function encoded(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return { b64: btoa(text) };
}
