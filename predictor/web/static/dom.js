// DOM elements from plain values. Text is never parsed as HTML. Next: results.js.

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

/** Create a picture with its caption; browsers that cannot show the format (TIFF) show the caption alone. */
export function createFigure(source, caption, description = caption) {
  const image = createElement("img", { className: "scan", src: source, alt: description });
  image.addEventListener("error", () => image.remove());
  return createElement("figure", {}, image, createElement("figcaption", {}, caption));
}

/** Create a small picture of a file with its name; a picture that the browser cannot show is left out. */
export function createThumbnail(file) {
  const image = createElement("img", { className: "thumbnail", src: URL.createObjectURL(file), alt: "" });
  image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  image.addEventListener("error", () => image.remove());
  return createElement("span", {}, image, file.name);
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

export const formatPercent = (share) => `${(100 * share).toFixed(1)} %`;
export const toDataUrl = (picture) => `data:image/png;base64,${picture.b64}`;
