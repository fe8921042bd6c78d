// The questioned signature and a reference beside each other, over each other, and as a heat map. Next: detail.js.

import { createButton, createElement, createFigure, toDataUrl } from "./dom.js";

const MAX_ZOOM = 8, STEP = 1.25, PAN = 0.1; // the last is a share of the visible part
const COLOURS = { questioned: [0, 114, 178], reference: [213, 94, 0] }; // told apart with any colour vision (Okabe and Ito 2008)
const VIEWS = { beside: "Side by side", over: "Overlay", heat: "Heat map", ink: "What the model sees" };
let lastView = "beside"; // stays chosen from file to file

/**
 * Draw the views that an answer has pictures for.
 *
 * questioned: {source, name} of the file, references: the same for each; explanation and ink as the server sends them.
 * Of a person on file there are embeddings only, which are no pictures.
 */
export function renderComparison(questioned, references, { explanation, ink }, isOnFile) {
  const nearest = explanation?.reference ?? 0;
  const views = { beside: () => renderBeside(questioned, references, nearest, explanation, isOnFile) };
  const labels = { ...VIEWS, ...(references.length ? {} : { beside: "The file" }) };
  if (explanation?.registration) views.over = () => renderOverlay(explanation.registration, nearest);
  if (explanation) views.heat = () => renderHeatMap(explanation, references.length);
  if (ink) views.ink = () => createFigure(toDataUrl(ink), "the ink, without paper and lines, fitted to the canvas of the model", "the canonical image");
  const content = createElement("div", { className: "view" });
  const show = (name) => content.replaceChildren(views[name]());
  const choices = Object.keys(views).map((name) => {
    const radio = createElement("input", { type: "radio", name: "view", value: name, checked: name === lastView });
    radio.addEventListener("change", () => { lastView = name; show(name); });
    return createElement("label", {}, radio, ` ${labels[name]}`);
  });
  const first = lastView in views ? lastView : "beside";
  for (const label of choices) label.firstChild.checked = label.firstChild.value === first;
  show(first);
  return createElement("div", { className: "comparison" },
    choices.length > 1 ? createElement("fieldset", { className: "choices" }, createElement("legend", {}, "View"), choices) : null, content);
}

/** Two panes that zoom and move together. */
function renderBeside(questioned, references, nearest, explanation, isOnFile) {
  const position = { zoom: 1, x: 0, y: 0 };
  const panes = [];
  const update = () => panes.forEach((pane) => {
    pane.firstChild.style.transform = `scale(${position.zoom}) translate(${100 * position.x}%, ${100 * position.y}%)`;
  });
  const move = (zoom, x, y) => {
    position.zoom = Math.max(1, Math.min(MAX_ZOOM, zoom));
    const limit = (1 - 1 / position.zoom) / 2;
    position.x = Math.max(-limit, Math.min(limit, x));
    position.y = Math.max(-limit, Math.min(limit, y));
    update();
  };
  const inks = explanation?.registration ?? {};
  const createPane = (scan, ink, name) => {
    const pane = createPanePicture(scan, ink, name);
    panes.push(pane);
    addZoom(pane, position, move);
    return pane;
  };
  const figures = [createElement("figure", {}, createPane(questioned, inks.questioned, "questioned signature"),
    createElement("figcaption", {}, `${references.length ? "Questioned: " : ""}${questioned.name}`))];
  if (references.length) {
    const caption = createElement("figcaption", {});
    const figure = createElement("figure", {});
    const showReference = (index) => {
      if (panes.length > 1) panes.pop();
      const ink = index === nearest ? inks.reference : null;
      figure.replaceChildren(createPane(references[index], ink, `reference ${index + 1}`), caption);
      update();
    };
    const select = createElement("select", { "aria-label": "Reference to show" }, references.map((reference, index) =>
      createElement("option", { value: index, selected: index === nearest }, `Reference ${index + 1}${index === nearest && explanation ? ", the nearest" : ""}: ${reference.name}`)));
    select.addEventListener("change", () => showReference(Number(select.value)));
    caption.append(select);
    showReference(nearest);
    figures.push(figure);
  } else if (isOnFile) {
    figures.push(createElement("figure", {}, createElement("div", { className: "pane" },
      createElement("p", {}, "A person on file is stored as embeddings: there is no picture to show beside this one, or to lay over it."))));
  }
  const zoomBy = (factor) => () => move(position.zoom * factor, position.x, position.y);
  return createElement("div", {}, createElement("div", { className: "beside" }, figures),
    createElement("div", { className: "buttons" }, createButton("Zoom in", zoomBy(STEP)), createButton("Zoom out", zoomBy(1 / STEP)),
      createButton("Fit", () => move(1, 0, 0))));
}

/** A picture that can be zoomed; the ink replaces a file whose format the browser cannot show. */
function createPanePicture(scan, ink, name) {
  const image = createElement("img", { src: scan.source, alt: `${name}: ${scan.name}`, draggable: false });
  image.addEventListener("error", () => {
    if (ink && !image.src.startsWith("data:")) image.src = toDataUrl(ink);
    else image.replaceWith(createElement("p", { className: "hint" }, "This browser cannot show the format of the file; the overlay shows its ink."));
  });
  return createElement("div", { className: "pane", tabIndex: 0, role: "group", "aria-label": `${name}; plus and minus zoom, arrow keys move` }, image);
}

function addZoom(pane, position, move) {
  const keys = {
    "+": () => move(position.zoom * STEP, position.x, position.y), "-": () => move(position.zoom / STEP, position.x, position.y), 0: () => move(1, 0, 0),
    ArrowLeft: () => move(position.zoom, position.x + PAN / position.zoom, position.y), ArrowRight: () => move(position.zoom, position.x - PAN / position.zoom, position.y),
    ArrowUp: () => move(position.zoom, position.x, position.y + PAN / position.zoom), ArrowDown: () => move(position.zoom, position.x, position.y - PAN / position.zoom),
  };
  pane.addEventListener("keydown", (event) => {
    const action = keys[event.key === "=" ? "+" : event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  pane.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // without it, the page scrolls
    event.preventDefault();
    move(position.zoom * (event.deltaY < 0 ? STEP : 1 / STEP), position.x, position.y);
  }, { passive: false });
  pane.addEventListener("dblclick", () => move(position.zoom > 1 ? 1 : 3, 0, 0));
  pane.addEventListener("pointerdown", (event) => {
    if (position.zoom > 1) pane.setPointerCapture(event.pointerId);
  });
  pane.addEventListener("pointermove", (event) => {
    if (!pane.hasPointerCapture(event.pointerId)) return;
    const { width, height } = pane.getBoundingClientRect();
    move(position.zoom, position.x + event.movementX / width / position.zoom, position.y + event.movementY / height / position.zoom);
  });
}

/** The questioned ink and that of the nearest reference over each other, as they are or registered. */
function renderOverlay(registration, nearest) {
  const description = `questioned ink in blue, reference ${nearest + 1} in orange, dark where both lie; correlation ${registration.correlation.toFixed(2)}`;
  const canvas = createElement("canvas", { className: "overlay", role: "img", "aria-label": `Overlay: ${description}` });
  const registered = createElement("input", { type: "checkbox", checked: true });
  const blend = createElement("input", { type: "range", min: 0, max: 1, step: 0.05, value: 0.5 });
  const pictures = Object.fromEntries(["questioned", "reference", "registered"].map((name) => [name, loadPicture(toDataUrl(registration[name]))]));
  const draw = async () => {
    const [below, above] = await Promise.all([pictures.questioned, pictures[registered.checked ? "registered" : "reference"]]);
    const context = canvas.getContext("2d");
    [canvas.width, canvas.height] = [below.width, below.height];
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.globalCompositeOperation = "multiply";
    const share = Number(blend.value);
    for (const [picture, colour, strength] of [[below, COLOURS.questioned, 2 - 2 * share], [above, COLOURS.reference, 2 * share]]) {
      context.globalAlpha = Math.min(1, strength);
      context.drawImage(tint(picture, colour), 0, 0);
    }
  };
  registered.addEventListener("change", draw);
  blend.addEventListener("input", draw);
  draw();
  return createElement("figure", {}, canvas, createElement("figcaption", {}, description),
    createElement("div", { className: "toolbar" },
      createElement("label", {}, registered, " Registered: turned, scaled and moved onto each other"),
      createElement("label", { className: "blend" }, "Questioned", blend, "Reference")));
}

async function loadPicture(source) {
  const image = createElement("img", { src: source });
  await image.decode();
  return image;
}

/** Draw black ink on white in a colour. */
function tint(picture, [red, green, blue]) {
  const canvas = createElement("canvas", { width: picture.width, height: picture.height });
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let index = 0; index < pixels.data.length; index += 4) {
    const paper = pixels.data[index] / 255;
    pixels.data[index] = red + paper * (255 - red);
    pixels.data[index + 1] = green + paper * (255 - green);
    pixels.data[index + 2] = blue + paper * (255 - blue);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function renderHeatMap(explanation, references) {
  const compared = references ? `compared with reference ${explanation.reference + 1}` : "compared with the person on file";
  const caption = explanation.occluded_in === "both"
    ? `Red ink lowers the score, blue ink raises it; ${compared}.` : `Which ink the score depends on: without blue ink it would be lower; ${compared}.`;
  return createFigure(toDataUrl(explanation.overlay), caption, "the ink with a heat map of what changes the score");
}
