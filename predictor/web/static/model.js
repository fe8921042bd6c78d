// What the server has loaded: facts, metrics and model cards. Next: card.js.

import { renderCard } from "./card.js";
import { createElement, createTable } from "./dom.js";
import { capitalize } from "./words.js";

/** Draw the loaded model and those beside it. */
export function renderModels(model) {
  return [model, model.verifier, model.classifier].filter(Boolean).map((description) =>
    createElement("section", { className: "model" }, createElement("h3", {}, capitalize(description.question)), ...renderModel(description)));
}

function renderModel(description) {
  const facts = {
    Problem: description.problem, Labels: description.labels.join(", "), Backbone: description.backbone,
    Parameters: description.parameters?.toLocaleString("en"), Variant: `${description.variant}, ${description.engine}`,
    Canvas: description.canvas.join(" x "), Created: new Date(description.created_at).toLocaleString(),
    Version: description.version,
  };
  const entries = Object.entries(facts).filter(([, value]) => value)
    .flatMap(([name, value]) => [createElement("dt", {}, name), createElement("dd", {}, value)]);
  return [createElement("dl", {}, entries), ...renderMetrics(description.metrics), ...renderCard(description.card)];
}

/** Draw the metrics of a manifest, which were measured on test images. */
function renderMetrics(metrics) {
  if (metrics.references) {
    const rows = Object.entries(metrics.references).map(([references, rates]) => [references, rates.eer_skilled, rates.eer_random]
      .map((value) => (typeof value === "number" ? value.toFixed(1) : value ?? "")));
    const variant = metrics.measured_with ? `, ${metrics.measured_with} variant` : "";
    return [createTable(`Equal error rates on test writers, in %${variant}`, ["references", "skilled", "random"], rows, ["skilled", "random"])];
  }
  const names = ["accuracy", "roc_auc"].filter((name) => typeof metrics[name] === "number");
  const rows = names.map((name) => [name === "accuracy" ? "accuracy, %" : "ROC-AUC", metrics[name].toFixed(name === "accuracy" ? 1 : 3)]);
  return rows.length ? [createTable("On test images", ["metric", "value"], rows, ["value"])] : [];
}
