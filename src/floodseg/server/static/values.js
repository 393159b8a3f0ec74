/** Values of a scene at a place. */

import { getJson } from "./api.js";
import { element, formatNumber } from "./dom.js";
import { valueTable } from "./charts.js";

/** Rows of name and text for an answer of `api/scenes/ID/value`. */
function rowsOf(value) {
  const rows = [["Class", value.class ? value.class.name : "no data"]];
  if (value.probability !== null && value.probability !== undefined) rows.push(["Water probability", `${value.probability} %`]);
  if (value.depth_m !== null && value.depth_m !== undefined) rows.push(["Water depth", `${formatNumber(value.depth_m)} m`]);
  for (const [band, number] of Object.entries(value.sar_db ?? {})) rows.push([`Radar ${band}`, `${formatNumber(number)} dB`]);
  for (const [band, number] of Object.entries(value.sar_before_db ?? {})) rows.push([`Radar ${band} before`, `${formatNumber(number)} dB`]);
  for (const [band, number] of Object.entries(value.reflectance ?? {})) rows.push([`Reflectance ${band}`, formatNumber(number, 4)]);
  return rows;
}

/** Ask for the values at a place and show them beside it. */
export async function showValues(view, scene, { lng, lat }) {
  const place = `${lat.toFixed(5)}, ${lng.toFixed(5)}`;
  const value = await getJson(`api/scenes/${scene.id}/value?lon=${lng}&lat=${lat}`);
  const rows = rowsOf(value);
  const shown = rows.slice(0, 5);
  const more = rows.slice(5);
  const folded = more.length ? element("details", {}, element("summary", {}, "More values"), valueTable(more)) : null;
  const content = element("div", { class: "values" }, element("p", {}, place), valueTable(shown), folded);
  view.popup({ lng, lat }, content, `Values at ${place}: ${shown.map((row) => row.join(" ")).join(", ")}`);
}
