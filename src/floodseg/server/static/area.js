/** An area that is drawn on the map or typed as coordinates, and its numbers. */

import { postJson } from "./api.js";
import { areaTable, depthRows, histogram } from "./charts.js";
import { announce, element, guarded } from "./dom.js";

const DIGITS = 5;

/** Corners in degrees from lines of "longitude latitude". */
export function parseCorners(text) {
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  return lines.map((line) => {
    const numbers = line.split(/[\s,;]+/).map(Number);
    const [lon, lat] = numbers;
    const valid = numbers.length === 2 && Math.abs(lon) <= 180 && Math.abs(lat) <= 90;
    if (!valid) throw new Error(`"${line}" is no corner; write the longitude and the latitude in degrees, like 11.95 45.02`);
    return [lon, lat];
  });
}

export class AreaTool {
  drawing = false;

  constructor(view, scene) {
    this.view = view;
    this.scene = scene;
    this.text = element("textarea", {
      id: "corners", rows: 4, spellcheck: "false", placeholder: "11.95 45.02", "aria-describedby": "corners-help",
      onchange: guarded(() => this.view.setArea(parseCorners(this.text.value))),
    });
    this.toggle = element("button", { type: "button", "aria-pressed": "false", onclick: () => this.draw(!this.drawing) }, "Draw on the map");
    this.result = element("div", { id: "area-result" });
  }

  /** Content of the section of the panel. */
  content() {
    const button = (text, action) => element("button", { type: "button", onclick: guarded(action) }, text);
    const help = "Click or tap the corners, or press Enter on the map for its centre. You can also write one corner per line: longitude and latitude in degrees.";
    return [
      element("p", { id: "corners-help", class: "help" }, help),
      element(
        "div", { class: "buttons" },
        this.toggle,
        button("Add the map centre", () => this.add(this.view.centre().lngLat)),
        button("Take the visible map", () => this.#set(this.#visible())),
        button("Remove the last corner", () => this.#set(parseCorners(this.text.value).slice(0, -1))),
        button("Clear", () => this.clear()),
      ),
      element("label", { for: "corners" }, "Corners"),
      this.text,
      element("button", { type: "button", class: "primary", onclick: guarded(() => this.compute()) }, "Get the numbers"),
      this.result,
    ];
  }

  /** Start or end the drawing; while it is on, a click on the map adds a corner. */
  draw(on) {
    this.drawing = on;
    this.toggle.setAttribute("aria-pressed", String(on));
    this.toggle.textContent = on ? "Stop drawing" : "Draw on the map";
    this.view.map.getCanvas().classList.toggle("drawing", on);
    // a double click adds two corners, and must not zoom
    this.view.map.doubleClickZoom[on ? "disable" : "enable"]();
    if (on) this.view.closePopup();
  }

  add({ lng, lat }) {
    const corner = [lng.toFixed(DIGITS), lat.toFixed(DIGITS)].map(Number);
    const corners = [...parseCorners(this.text.value), corner];
    this.#set(corners);
    announce(`Corner ${corners.length} at ${corner.join(" ")}`);
  }

  clear() {
    this.draw(false);
    this.#set([]);
    this.result.replaceChildren();
  }

  async compute() {
    const corners = parseCorners(this.text.value);
    if (corners.length < 3) throw new Error(`An area needs at least 3 corners, and this one has ${corners.length}; add more`);
    this.view.setArea(corners);
    const body = { type: "Polygon", coordinates: [[...corners, corners[0]]] };
    const answer = await postJson(`api/scenes/${this.scene.id}/areas`, body);
    this.draw(false);
    const { areas, depth } = answer;
    const water = depth && depthRows({ mean: depth.mean_m, maximum: depth.max_m, volume: depth.volume_m3 });
    const parts = [areaTable(areas), water, histogram(answer.histogram)];
    this.result.replaceChildren(element("h3", {}, "Within the area"), ...parts.filter(Boolean));
    announce(areas.map(({ name, km2 }) => `${name} ${km2.toFixed(2)} square kilometres`).join(", "));
  }

  #set(corners) {
    this.text.value = corners.map((corner) => corner.join(" ")).join("\n");
    this.view.setArea(corners);
  }

  /** The visible part of the map, shrunk a little so that its outline is seen. */
  #visible() {
    const bounds = this.view.map.getBounds();
    const [west, south, east, north] = [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()];
    const [dx, dy] = [(east - west) * 0.02, (north - south) * 0.02];
    const corners = [[west + dx, south + dy], [east - dx, south + dy], [east - dx, north - dy], [west + dx, north - dy]];
    return corners.map((corner) => corner.map((value) => Number(value.toFixed(DIGITS))));
  }
}
