// The model card of an artefact: data, rates by source, limits, intended use. Next: dom.js.

import { createElement, createTable } from "./dom.js";

const formatCount = (count) => (count ? count.toLocaleString("en") : "unknown");

/** Draw a card, folded; nothing for an artefact of an earlier release, which has none. */
export function renderCard(card) {
  if (!card) return [];
  const rates = card.measurements.map((row) => [
    row.source, row.relation, row.metric, row.value.toFixed(1),
    row.interval ? row.interval.map((end) => end.toFixed(1)).join(" to ") : "", formatCount(row.images),
  ]);
  const learnt = card.learnt_from.map((row) => [row.name, formatCount(row.images), formatCount(row.writers), row.terms]);
  const elements = [
    createTable("What it learnt from", ["source", "images", "writers", "terms of the data"], learnt, ["images", "writers"]),
    createElement("p", { className: "hint" }, card.protocol),
    createTable("Measured, in percent, with 95 % intervals", ["source", "in training", "rate", "%", "interval", "images"],
      rates, ["%", "interval", "images"]),
    card.limits.length ? createElement("ul", {}, card.limits.map((limit) => createElement("li", {}, limit))) : null,
    createElement("p", {}, card.intended_use),
  ];
  return [createElement("details", { className: "card-facts" }, createElement("summary", {}, "Model card"),
    elements.filter(Boolean))];
}
