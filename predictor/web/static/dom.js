// DOM elements from plain values. Text is never parsed as HTML. Next: results.js.

export const find = (id) => document.getElementById(id);

/** Create an element with attributes and children; other values become text, null is left out. */
export function createElement(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/**
 * Replace the children of an element; the focus stays on the control that it is on, or goes to another one.
 *
 * A control is found again by its id, or else by its name, which is its text.
 */
export function replaceContent(parent, children, findOther = () => parent) {
  const active = document.activeElement;
  const hadFocus = active !== parent && parent.contains(active);
  const { selectionStart, selectionEnd } = active;
  parent.replaceChildren(...children);
  if (!hadFocus) return;
  const control = [...parent.querySelectorAll(active.tagName)].find((each) => !each.disabled && identify(each) === identify(active));
  (control ?? findOther()).focus({ preventScroll: true });
  if (control && typeof selectionStart === "number") control.setSelectionRange(selectionStart, selectionEnd);
}

function identify(element) {
  const value = element.type === "radio" ? element.value : "";
  return element.id || `${element.ariaLabel ?? element.closest("label")?.textContent ?? element.textContent} ${value}`;
}

/** Create a button that calls an action. */
export function createButton(text, action, attributes = {}) {
  const button = createElement("button", { className: "button", type: "button", ...attributes }, text);
  button.addEventListener("click", action);
  return button;
}

/** Create a link that downloads a text as a file. */
export function download(name, type, text) {
  const link = createElement("a", { download: name, href: URL.createObjectURL(new Blob([text], { type })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

/** Create a picture with its caption; browsers that cannot show the format (TIFF) show the caption alone. */
export function createFigure(source, caption, description = caption) {
  const image = createElement("img", { className: "scan", src: source, alt: description });
  image.addEventListener("error", () => image.remove());
  return createElement("figure", {}, image, createElement("figcaption", {}, caption));
}

/** Create a small picture of a file; nothing is shown where the browser cannot show its format. */
export function createThumbnail(file) {
  const image = createElement("img", { className: "thumbnail", src: URL.createObjectURL(file), alt: "" });
  image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  image.addEventListener("error", () => image.remove());
  return createElement("span", { className: "picture" }, image);
}

/** Create a table from rows of texts and elements; the columns named in numeric are aligned as numbers. */
export function createTable(caption, columns, rows, numeric = []) {
  const createCell = (tag, column) => (value) =>
    createElement(tag, { className: numeric.includes(column) ? "number" : "", "data-column": column },
      value instanceof Node ? value : String(value ?? "") || null);
  return createElement("div", { className: "scroll" }, createElement("table", {},
    createElement("caption", { className: "hint" }, caption),
    createElement("thead", {}, createElement("tr", {}, columns.map((column) => createCell("th", column)(column)))),
    createElement("tbody", {}, rows.map((row) => createElement("tr", {}, row.map((value, index) => createCell("td", columns[index])(value)))))));
}

/** Pass the files of an input to an action; the input is emptied, so that the same files can be chosen again. */
export const onFiles = (action) => (event) => {
  const files = [...event.target.files];
  event.target.value = "";
  action(files);
};

/** Tell people who use a screen reader what has changed. */
export function announce(text) {
  find("announcement").textContent = text;
}

export const formatPercent = (share) => `${(100 * share).toFixed(1)} %`;
export const toDataUrl = (picture) => `data:image/png;base64,${picture.b64}`;
