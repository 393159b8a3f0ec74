/** Tables and charts of numbers. */

import { element, formatNumber } from "./dom.js";

const WIDTH = 320;
const HEIGHT = 110;
const BASE = 18;
const SVG = "http://www.w3.org/2000/svg";

/** Colour of a class; excluded areas are hatched in tiles and here, since a fourth colour would not stand out. */
export function swatch({ color, hatch }) {
  const style = hatch
    ? `background: repeating-linear-gradient(135deg, #fff 0 3px, ${color} 3px 8px)`
    : `background: ${color}`;
  return element("span", { class: "swatch", style, "aria-hidden": "true" });
}

/** Areas by class with a bar of their share. */
export function areaTable(areas) {
  const total = areas.reduce((sum, { km2 }) => sum + (km2 ?? 0), 0) || 1;
  const row = (area) => {
    const share = (100 * (area.km2 ?? 0)) / total;
    const bar = element("span", { class: "bar", style: `width: ${share.toFixed(1)}%; background: ${area.color}` });
    return element(
      "tr", {},
      element("th", { scope: "row" }, swatch(area), ` ${area.name}`),
      element("td", {}, formatNumber(area.km2)),
      element("td", { class: "share" }, element("span", { class: "share-text" }, `${share.toFixed(1)} %`), bar),
    );
  };
  const heads = ["Class", "Area in km²", "Share"].map((title) => element("th", { scope: "col" }, title));
  return element("table", { class: "areas" }, element("thead", {}, element("tr", {}, heads)), element("tbody", {}, areas.map(row)));
}

/** Rows of names and values. */
export function valueTable(rows) {
  const row = ([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value));
  return element("table", {}, element("tbody", {}, rows.map(row)));
}

/** Depth of an area: mean, largest, and volume. */
export function depthRows({ mean, maximum, volume }) {
  return valueTable([
    ["Mean depth", `${formatNumber(mean)} m`],
    ["Largest depth", `${formatNumber(maximum)} m`],
    ["Volume of water", `${formatNumber(volume, 0)} m³`],
  ]);
}

/** Depth of a map: totals, and areas by class of depth. */
export function depthReport({ area_km2: area, volume_m3: volume, depth_m: depth, depth_classes: classes }) {
  const range = ({ above_m: low, up_to_m: high }) => (high === null ? `over ${low} m` : `${low} to ${high} m`);
  const row = (entry) => [range(entry), `${formatNumber(entry.area_km2)} km²`];
  const known = `${formatNumber(area.with_depth)} of ${formatNumber(area.flood)} km² of flood`;
  return [depthRows({ ...depth, volume }), valueTable([["Area with a depth", known], ...classes.map(row)])];
}

/** Histogram of the water probability. Bars are drawn on a scale of square roots, so that rare values show. */
export function histogram({ edges, counts }) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const highest = Math.max(...counts, 1);
  const svg = node("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "histogram" });
  const water = counts.reduce((sum, count, i) => sum + ((edges[i] + edges[i + 1]) / 2 >= 50 ? count : 0), 0);
  const share = total ? ((100 * water) / total).toFixed(1) : "0";
  svg.setAttribute("aria-label", `Histogram of the water probability of ${formatNumber(total)} pixels; ${share} % are at least 50 %`);
  const x = (value) => ((value - edges[0]) / (edges[edges.length - 1] - edges[0])) * WIDTH;
  counts.forEach((count, i) => {
    const height = Math.sqrt(count / highest) * (HEIGHT - BASE);
    const bar = node("rect", {
      x: x(edges[i]), width: Math.max(x(edges[i + 1]) - x(edges[i]) - 0.5, 0.5), y: HEIGHT - BASE - height, height,
    });
    bar.append(node("title", {}, `${edges[i]} to ${edges[i + 1]} %: ${formatNumber(count)} pixels`));
    svg.append(bar);
  });
  for (const value of [0, 50, 100]) {
    const anchor = { 0: "start", 50: "middle", 100: "end" }[value];
    svg.append(node("text", { x: x(value), y: HEIGHT - 4, "text-anchor": anchor }, `${value} %`));
  }
  const caption = element("figcaption", {}, `Water probability of ${formatNumber(total)} pixels, bars on a scale of square roots`);
  return element("figure", {}, svg, caption);
}

function node(tag, attributes, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}
