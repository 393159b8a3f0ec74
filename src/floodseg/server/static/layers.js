/** Choice of layers: visibility, opacity and legend. */

import { swatch } from "./charts.js";
import { element } from "./dom.js";
import { POLYGONS } from "./mapview.js";

const IMAGES = ["optical", "sar_vv", "sar"];
/** Layers that are drawn above the images, bottom first. */
const PRODUCTS = ["water_probability", "flood", "depth"];
const WATER = [1, 2]; // codes of flood and permanent water
const CLASSES_OPACITY = 0.8;

/** Layers of a scene in drawing order, bottom first, with the polygons on top. */
export function layersOf(scene) {
  const layers = scene.layers.toSorted((a, b) => PRODUCTS.indexOf(a.name) - PRODUCTS.indexOf(b.name));
  const classes = scene.areas.filter(({ code }) => WATER.includes(code));
  if (!classes.length) return layers;
  const legend = classes.map(({ name, color }) => ({ label: name, color }));
  return [...layers, { name: POLYGONS, title: "Outlines of water", kind: "polygons", legend }];
}

/** Default choice: the first image below the classes. */
export function defaultLayers(scene) {
  const names = new Set(scene.layers.map(({ name }) => name));
  const image = IMAGES.find((name) => names.has(name));
  return new Map([...(image ? [[image, 1]] : []), ...(names.has("flood") ? [["flood", CLASSES_OPACITY]] : [])]);
}

/** Pairs of a layer and its opacity in drawing order; names that the scene does not have are left out. */
export function chosenLayers(scene, choice) {
  return layersOf(scene).filter(({ name }) => choice.has(name)).map((layer) => [layer, choice.get(layer.name)]);
}

/** Controls of all layers, topmost first; `onChange` is called with the new choice (name to opacity). */
export function layerControls(scene, choice, onChange) {
  const changed = new Map(choice);
  const rows = layersOf(scene).toReversed().map((layer) => layerRow(layer, changed, () => onChange(new Map(changed))));
  return element("ul", { class: "layers" }, rows);
}

function layerRow(layer, choice, notify) {
  const id = `layer-${layer.name}`;
  const details = element("div", { class: "layer-details" });
  const slider = element("input", {
    type: "range", min: 0, max: 100, step: 5, value: Math.round(100 * (choice.get(layer.name) ?? 1)),
    "aria-label": `Opacity of ${layer.title}`,
    oninput: () => {
      choice.set(layer.name, Number(slider.value) / 100);
      show();
      notify();
    },
  });
  const percent = element("output", {});
  const box = element("input", {
    type: "checkbox", id, checked: choice.has(layer.name),
    onchange: () => {
      if (box.checked) choice.set(layer.name, Number(slider.value) / 100);
      else choice.delete(layer.name);
      show();
      notify();
    },
  });
  const show = () => {
    percent.textContent = `${slider.value} %`;
    details.hidden = !box.checked;
  };
  const hint = layer.minzoom ? element("p", { class: "help" }, "The file has no overviews: zoom in if nothing is shown.") : "";
  details.append(element("div", { class: "opacity" }, slider, percent), legend(layer) ?? "", hint);
  show();
  return element("li", {}, box, element("label", { for: id }, layer.title, date(layer)), details);
}

function date({ date }) {
  return date ? [", ", element("span", { class: "date" }, date.slice(0, 10))] : null;
}

function legend({ kind, legend: entries }) {
  if (!entries?.length || kind === "rgb") return null;
  if (kind === "ramp") return rampLegend(entries);
  const items = entries.map((entry) => element("li", {}, swatch(entry), ` ${entry.label}`));
  return element("ul", { class: "legend" }, items);
}

/** A bar from the first to the last colour, with labels below. */
function rampLegend(entries) {
  const colours = entries.map(({ color }) => color).join(", ");
  const labels = entries.map(({ label }) => element("span", {}, label));
  return element(
    "div", { class: "ramp" },
    element("div", { class: "ramp-bar", style: `background: linear-gradient(to right, ${colours})`, "aria-hidden": "true" }),
    element("div", { class: "ramp-labels" }, labels),
  );
}
