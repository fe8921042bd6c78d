// The answer to a document: its pages with a box for each region, and the region that is chosen. Next: results.js.

import { createElement, createFigure, formatPercent, toDataUrl } from "./dom.js";
import { renderCandidates, renderPerReference, renderVerdict, renderWarnings } from "./results.js";
import { count, toLabel } from "./words.js";

/** Draw what was found in a document; useAsReference(crop, name) takes a crop over as a reference. */
export function renderDocument(name, answer, useAsReference) {
  const detail = createElement("div", { className: "region", role: "region", "aria-label": "Chosen region", tabIndex: -1 });
  const pages = answer.pages.map((page) => renderPage(name, page, answer, (region, box) => {
    for (const other of document.querySelectorAll(".box[aria-pressed=true]")) other.setAttribute("aria-pressed", "false");
    box.setAttribute("aria-pressed", "true");
    detail.replaceChildren(...renderRegion(name, region, answer.regions, useAsReference));
    detail.focus();
  }));
  const signatures = answer.regions.filter((region) => region.label === "signature").length;
  const facts = `${count(signatures, "signature")} on ${count(pages.length, "page")}`;
  const signed = createElement("p", { className: "verdict" }, answer.signed ? "Signed" : "Not signed",
    createElement("small", {}, `${formatPercent(answer.score)} · ${facts}`));
  const decision = answer.decision ? createElement("p", { className: `verdict ${answer.decision}` }, toLabel(answer.decision)) : null;
  const hint = signatures ? createElement("p", { className: "hint" }, "Choose a box to see the signature in it.") : null;
  return createElement("div", {}, ...[signed, decision, renderWarnings(answer), hint, detail].flat().filter(Boolean),
    createElement("div", { className: "pages" }, pages));
}

function renderPage(name, page, answer, choose) {
  const picture = createElement("img", {
    src: `data:image/jpeg;base64,${page.picture.b64}`, alt: `page ${page.page} of ${name}`,
  });
  const boxes = answer.regions.filter((region) => region.page === page.page).map((region) => {
    const state = (region.verification ?? region.identification)?.decision ?? "";
    const box = createElement("button", {
      type: "button", className: `box ${region.label} ${state}`, "aria-pressed": "false",
      "aria-label": describeRegion(region, answer.regions), title: `${toLabel(region.label)} ${formatPercent(region.score)}`,
    });
    const [left, top, right, bottom] = region.box;
    box.style.left = `${(100 * left) / page.width}%`;
    box.style.top = `${(100 * top) / page.height}%`;
    box.style.width = `${(100 * (right - left)) / page.width}%`;
    box.style.height = `${(100 * (bottom - top)) / page.height}%`;
    box.addEventListener("click", () => choose(region, box));
    return box;
  });
  return createElement("figure", { className: "page" }, createElement("div", { className: "sheet" }, picture, boxes),
    answer.pages.length > 1 ? createElement("figcaption", {}, `page ${page.page}`) : null);
}

function describeRegion(region, regions) {
  const { decision, writer } = region.verification ?? region.identification ?? {};
  const verified = decision ? `, ${toLabel(decision)}${writer ? `: ${writer}` : ""}` : "";
  return `${toLabel(region.label)} ${regions.indexOf(region) + 1} on page ${region.page}, ${formatPercent(region.score)}${verified}`;
}

function renderRegion(name, region, regions, useAsReference) {
  const number = regions.indexOf(region) + 1;
  const elements = [createElement("h3", {}, describeRegion(region, regions))];
  if (region.crop) elements.push(createFigure(toDataUrl(region.crop), "", `the signature that was cut out of page ${region.page}`));
  if (region.verification) elements.push(renderVerdict(region.verification), renderPerReference(region.verification));
  if (region.identification) elements.push(renderVerdict(region.identification), renderCandidates(region.identification));
  if (region.crop) {
    const file = `${name.replace(/\.[^.]*$/, "")}-${number}.png`;
    const buttons = [createElement("a", { className: "button", download: file, href: toDataUrl(region.crop) }, "Download PNG")];
    if (useAsReference) {
      const use = createElement("button", { className: "button", type: "button" }, "Use as reference");
      use.addEventListener("click", () => useAsReference(region.crop, file));
      buttons.unshift(use);
    }
    elements.push(createElement("div", { className: "buttons" }, buttons));
  }
  return elements.filter(Boolean);
}
