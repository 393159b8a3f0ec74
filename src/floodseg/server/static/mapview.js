/** A map with the layers of one scene. The page has one, and a second one while two sides are compared. */

import * as maplibregl from "./vendor/maplibre-gl.mjs";
import { address } from "./api.js";
import { ABOVE_SCENES, emptyStyle } from "./basemap.js";
import { announce, showError } from "./dom.js";

/** Name of the layer of polygons, which comes as GeoJSON and not as tiles. */
export const POLYGONS = "polygons";

export class MapView {
  #shown = new Map(); // id of a style layer -> id of its source

  constructor(container, { label, controls = true }) {
    this.map = new maplibregl.Map({
      container,
      style: emptyStyle(),
      center: [10, 30],
      zoom: 1,
      maxZoom: 19,
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      attributionControl: false,
      fadeDuration: 0,
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.keyboard.disableRotation();
    const canvas = this.map.getCanvas();
    canvas.setAttribute("aria-label", label);
    if (controls) {
      this.map.addControl(new maplibregl.NavigationControl({ showCompass: false }), "top-right");
      this.map.addControl(new maplibregl.ScaleControl(), "bottom-right");
      this.map.addControl(new maplibregl.AttributionControl({ compact: true, customAttribution: "MapLibre" }), "bottom-right");
      // a comparison clips the map at its divider, and would clip the controls, too
      const box = this.map.getContainer();
      box.after(box.querySelector(".maplibregl-control-container"));
    }
    this.map.on("error", (event) => this.#report(event.error));
    // "load" would wait until the world is drawn
    this.ready = new Promise((resolve) => this.map.once("style.load", resolve));
  }

  /** Wait until all layers are drawn. */
  async drawn() {
    if (!this.map.loaded()) await new Promise((resolve) => this.map.once("idle", resolve));
  }

  /** Draw the basemap, a promise of sources and layers, below everything. */
  async setBasemap(basemap) {
    const [{ sources, layers }] = await Promise.all([basemap, this.ready]);
    const [, lowest] = this.map.getLayersOrder();
    for (const [id, source] of Object.entries(sources)) this.map.addSource(id, source);
    for (const layer of layers) this.map.addLayer(layer, lowest);
  }

  /** Show the server's sentence about a tile or file that cannot be read. */
  async #report(error) {
    let message = error?.message ?? String(error);
    try {
      message = JSON.parse(await error.body.text()).error ?? message;
    } catch {
      // an error without an answer of the server keeps its own message
    }
    showError(new Error(message));
  }

  /** Show layers of a scene; `chosen` are pairs of a layer and its opacity in drawing order, bottom first. */
  setLayers(scene, chosen) {
    const wanted = chosen.flatMap(([layer, opacity]) => styleLayers(scene, layer, opacity));
    const ids = new Set(wanted.map(({ style }) => style.id));
    this.#removeAllBut(ids);
    for (const { style, source, property, opacity } of wanted) {
      if (!this.map.getSource(style.source)) this.map.addSource(style.source, source);
      if (this.#shown.has(style.id)) this.map.moveLayer(style.id, ABOVE_SCENES);
      else this.map.addLayer(style, ABOVE_SCENES);
      this.map.setPaintProperty(style.id, property, opacity);
      this.#shown.set(style.id, style.source);
    }
  }

  #removeAllBut(ids) {
    const left = new Set();
    for (const [id, source] of [...this.#shown]) {
      if (ids.has(id)) continue;
      this.map.removeLayer(id);
      this.#shown.delete(id);
      left.add(source);
    }
    const used = new Set(this.#shown.values());
    for (const source of left) if (!used.has(source)) this.map.removeSource(source);
  }

  /** Outlines and points of scenes that can be opened by a click. */
  setFootprints(scenes) {
    const features = scenes
      .filter((scene) => scene.bounds)
      .flatMap(({ id, bounds: [west, south, east, north] }) => {
        const ring = [[west, south], [east, south], [east, north], [west, north], [west, south]];
        return [
          { type: "Feature", properties: { id }, geometry: { type: "Polygon", coordinates: [ring] } },
          { type: "Feature", properties: { id }, geometry: { type: "Point", coordinates: [(west + east) / 2, (south + north) / 2] } },
        ];
      });
    this.map.getSource("footprints").setData({ type: "FeatureCollection", features });
  }

  /** Id of the footprint at a point of the canvas, or null. */
  footprintAt(point) {
    const found = this.map.queryRenderedFeatures(point, { layers: ["footprints-points", "footprints-line"] });
    return found.length ? found[0].properties.id : null;
  }

  /** Corners of a drawn area, in degrees. */
  setArea(corners) {
    const points = corners.map((coordinates) => ({ type: "Feature", properties: {}, geometry: { type: "Point", coordinates } }));
    const ring = corners.length > 2 ? [...corners, corners[0]] : corners;
    const line = { type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: ring } };
    this.map.getSource("area").setData({ type: "FeatureCollection", features: corners.length > 1 ? [...points, line] : points });
  }

  /** Move to bounds in degrees. */
  fit([west, south, east, north], { maxZoom = 16 } = {}) {
    this.map.fitBounds([[west, south], [east, north]], { padding: 24, maxZoom, animate: false });
  }

  position() {
    return { center: this.map.getCenter().toArray(), zoom: this.map.getZoom() };
  }

  /** Call with `{lngLat, point}` on a click, a tap, or Enter on the focused map, which stands for its centre. */
  onPick(listener) {
    this.map.on("click", listener);
    this.map.getCanvas().addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      listener(this.centre());
    });
  }

  centre() {
    const lngLat = this.map.getCenter();
    return { lngLat, point: this.map.project(lngLat) };
  }

  /** Show a text beside a place, and say it to screen readers. */
  popup(lngLat, content, spoken) {
    this.closePopup();
    this.shownPopup = new maplibregl.Popup({ focusAfterOpen: false, maxWidth: "300px" });
    this.shownPopup.setLngLat(lngLat).setDOMContent(content).addTo(this.map);
    this.#reveal(this.shownPopup.getElement().getBoundingClientRect());
    announce(spoken);
  }

  /** Move the map so that a box of the screen is inside it. */
  #reveal(box) {
    const frame = this.map.getContainer().getBoundingClientRect();
    const excess = (low, high) => Math.min(box[low] - frame[low], 0) || Math.max(box[high] - frame[high], 0);
    this.map.panBy([excess("left", "right"), excess("top", "bottom")], { animate: false });
  }

  closePopup() {
    this.shownPopup?.remove();
    this.shownPopup = null;
  }
}

/** Style layers of a layer of a scene, with their source and the property that holds the opacity. */
function styleLayers(scene, layer, opacity) {
  const id = `${scene.id}/${layer.name}`;
  if (layer.name === POLYGONS) return polygonLayers(scene, layer, id, opacity);
  const source = {
    type: "raster",
    tiles: [address(`tiles/${scene.id}/${layer.name}/{z}/{x}/{y}.png`)],
    tileSize: 256,
    minzoom: layer.minzoom ?? 0,
    maxzoom: layer.maxzoom ?? 22,
    bounds: layer.bounds ?? scene.bounds,
  };
  const resampling = layer.kind === "rgb" ? "linear" : "nearest";
  const paint = { "raster-fade-duration": 0, "raster-resampling": resampling };
  return [{ style: { id, type: "raster", source: id, paint }, source, property: "raster-opacity", opacity }];
}

function polygonLayers(scene, layer, id, opacity) {
  const source = { type: "geojson", data: address(`api/scenes/${scene.id}/polygons`) };
  const colours = layer.legend.flatMap(({ label, color }) => [label.replaceAll(" ", "_"), color]);
  const line = (suffix, colour, width) => ({
    style: { id: id + suffix, type: "line", source: id, paint: { "line-color": colour, "line-width": width } },
    source,
    property: "line-opacity",
    opacity,
  });
  const own = ["match", ["get", "class"], ...colours, "#000000"];
  return [line("/casing", "#ffffff", 4), line("", own, 2)];
}
