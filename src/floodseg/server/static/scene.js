/** Panel of an opened map: layers, comparison, numbers and files. */

import { areaTable, depthReport, histogram } from "./charts.js";
import { element, formatBytes, formatDate, formatNumber, guarded, section } from "./dom.js";
import { layerControls } from "./layers.js";

/**
 * Content of the panel. `choice` are the chosen layers; `tool` is the drawing of an area; `actions` are the functions
 * `onLayers(choice)`, `onBefore(value)`, `onCentre()` and `onFit()`; `others` are the other maps.
 */
export function scenePanel(scene, { choice, before, others, tool, actions }) {
  const located = scene.bounds !== null;
  return [
    element("p", {}, element("a", { href: "#" }, "← All maps")),
    element("h1", {}, scene.name),
    facts(scene),
    ...(located ? mapSections(scene, { choice, before, others, tool, actions }) : [withoutPlace()]),
    section("Areas by class", { name: "areas" }, areaTable(scene.areas)),
    scene.depth ? section("Water depth", { name: "depth" }, depthReport(scene.depth)) : null,
    scene.exposure?.length ? section("Exposure", { name: "exposure" }, exposureTable(scene.exposure)) : null,
    scene.histogram ? section("Water probability", { name: "histogram" }, histogram(scene.histogram)) : null,
    section("Downloads", { name: "downloads" }, downloads(scene)),
    scene.notes?.length ? section("Notes of the run", { open: false, name: "notes" }, notes(scene.notes)) : null,
  ].filter(Boolean);
}

function facts(scene) {
  const rows = [
    ["Image", formatDate(scene.datetime)],
    ["Mapped", formatDate(scene.mapped)],
    ["Model", scene.model],
    ["Valid", percent(scene.valid_share)],
  ];
  if (scene.sensor_shares) rows.push(["Decided by", sensorText(scene.sensor_shares)]);
  return element("dl", { class: "facts" }, rows.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}

function percent(share) {
  return share === null || share === undefined ? "–" : `${formatNumber(100 * share, 1)} %`;
}

/** Weights of the sensors: shares of the pixels that both, radar alone or the optical image alone decided. */
function sensorText({ both, sar, optical }) {
  return `both sensors ${percent(both)}, radar alone ${percent(sar)}, the optical image alone ${percent(optical)}`;
}

function mapSections(scene, { choice, before, others, tool, actions }) {
  const button = (text, action) => element("button", { type: "button", onclick: guarded(action) }, text);
  return [
    section("Layers", { name: "layers" }, layerControls(scene, choice, actions.onLayers)),
    section("Compare", { name: "compare" }, comparison(scene, { before, others, onBefore: actions.onBefore })),
    section(
      "Values at a place", { name: "values" },
      element("p", { class: "help" }, "Click the map, or press Enter on it for the values at its centre."),
      element("div", { class: "buttons" }, button("Values at the map centre", actions.onCentre), button("Show the complete map", actions.onFit)),
    ),
    section("Numbers of an area", { open: false, name: "area" }, ...tool.content()),
  ];
}

function withoutPlace() {
  return element("p", { class: "help" }, "This map has no coordinate system on the Earth, so it has no place here. Its numbers and files are below.");
}

/** Choice of the left side: nothing, a layer of this map, or another map with the chosen layers. */
function comparison(scene, { before, others, onBefore }) {
  const option = (value, text) => element("option", { value, selected: value === (before ?? "") }, text);
  const layers = scene.layers.map(({ name, title, date }) => option(`${scene.id}/${name}`, date ? `${title} (${date.slice(0, 10)})` : title));
  const maps = others.map(({ id, name, datetime }) => option(id, `${name}, ${formatDate(datetime)}`));
  const select = element(
    "select", { id: "left-side", onchange: guarded(() => onBefore(select.value || null)) },
    option("", "No comparison"),
    element("optgroup", { label: "A layer of this map" }, layers),
    maps.length ? element("optgroup", { label: "Another map, same layers" }, maps) : null,
  );
  const help = "The map shows this choice on the left of the divider, and the layers above on the right.";
  return [element("label", { for: "left-side" }, "Left side"), select, element("p", { class: "help" }, help)];
}

function exposureTable(rows) {
  const row = ({ category, item, unit, total_in_area: total, affected, not_seen: unseen }) => {
    const name = item && item !== category ? `${category}: ${item}` : category;
    const cells = [affected, unseen, total].map((value) => element("td", {}, formatNumber(value, 1)));
    return element("tr", {}, element("th", { scope: "row" }, `${name.replaceAll("_", " ")} (${unit})`), cells);
  };
  const heads = ["Exposed", "Affected", "Not seen", "In the area"].map((text) => element("th", { scope: "col" }, text));
  return element("table", {}, element("thead", {}, element("tr", {}, heads)), element("tbody", {}, rows.map(row)));
}

function downloads(scene) {
  const row = ({ name, title, bytes }) => {
    const link = element("a", { href: `files/${scene.id}/${encodeURIComponent(name)}`, download: name }, name);
    const size = element("span", { class: "muted" }, ` ${formatBytes(bytes)}`);
    return element("li", {}, link, size, title ? element("span", { class: "file-title" }, title) : null);
  };
  const total = scene.files.reduce((sum, { bytes }) => sum + bytes, 0);
  const all = element("a", { href: `files/${scene.id}.zip`, download: `${scene.name}.zip`, class: "button" }, `All as a zip (${formatBytes(total)})`);
  return [element("ul", { class: "files" }, scene.files.map(row)), all];
}

function notes(sentences) {
  return element("ul", {}, sentences.map((sentence) => element("li", {}, sentence)));
}
