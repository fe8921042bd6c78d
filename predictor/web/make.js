// Elements out of plain values. Text is always text: nothing here reads HTML.

/** An element with attributes and children; what is no element becomes text, what is null is left out. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A picture with its caption; browsers that cannot show the format (TIFF) show the caption alone. */
export function figure(source, caption, description = caption) {
  const image = make("img", { className: "scan", src: source, alt: description });
  image.addEventListener("error", () => image.remove());
  return make("figure", {}, image, make("figcaption", {}, caption));
}

/** A small picture of a file beside its name; a format that browsers cannot show is left out. */
export function thumbnail(file) {
  const image = make("img", { className: "thumbnail", src: URL.createObjectURL(file), alt: "" });
  image.addEventListener("load", () => URL.revokeObjectURL(image.src));
  image.addEventListener("error", () => image.remove());
  return make("span", {}, image, file.name);
}

/** A table of rows of texts; columns named in numeric are aligned as numbers. */
export function table(caption, columns, rows, numeric = []) {
  const cell = (kind, column) => (value) =>
    make(kind, { className: numeric.includes(column) ? "number" : "", "data-column": column },
      value instanceof Node ? value : String(value ?? "") || null);
  return make("div", { className: "scroll" }, make("table", {},
    make("caption", { className: "hint" }, caption),
    make("thead", {}, make("tr", {}, columns.map((column) => cell("th", column)(column)))),
    make("tbody", {}, rows.map((row) => make("tr", {}, row.map((value, at) => cell("td", columns[at])(value)))))));
}

export const percent = (share) => `${(100 * share).toFixed(1)} %`;
export const base64 = (picture) => `data:image/png;base64,${picture.b64}`;
