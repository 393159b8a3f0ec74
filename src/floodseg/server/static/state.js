/**
 * State of the view in the hash of the page's address, so that a copied address shows the same view:
 * `#scene=ID&before=ID2&layers=flood:0.8,sar_vv:1&lon=11.9&lat=45.0&zoom=11.2&swipe=0.5`.
 *
 * `before` is a second map (its layers are those of `layers`), or one layer of a map (`ID/sar_before_vv`).
 */

function number(text) {
  return text === null || text === "" || Number.isNaN(Number(text)) ? null : Number(text);
}

/** Read the state: page, scene, before, layers (name to opacity, or null for the default), position and swipe. */
export function readHash(hash = location.hash) {
  const values = new URLSearchParams(hash.replace(/^#/, ""));
  const [lon, lat, zoom] = ["lon", "lat", "zoom"].map((name) => number(values.get(name)));
  const complete = lon !== null && lat !== null && zoom !== null;
  return {
    page: values.get("page") ?? "maps",
    scene: values.get("scene"),
    before: values.get("before"),
    layers: values.has("layers") ? readLayers(values.get("layers")) : null,
    position: complete ? { center: [lon, Math.max(-85, Math.min(85, lat))], zoom } : null,
    swipe: Math.max(0, Math.min(1, number(values.get("swipe")) ?? 0.5)),
  };
}

function readLayers(text) {
  const layers = new Map();
  for (const part of text.split(",").filter(Boolean)) {
    const [name, opacity] = part.split(":");
    layers.set(name, Math.max(0, Math.min(1, number(opacity ?? "") ?? 1)));
  }
  return layers;
}

/** Text of the hash for a state of an opened scene. */
export function hashOf(state) {
  const parts = [`scene=${encodeURIComponent(state.scene)}`];
  if (state.before) parts.push(`before=${state.before.split("/").map(encodeURIComponent).join("/")}`);
  if (state.layers) parts.push(`layers=${[...state.layers].map(([name, opacity]) => `${name}:${opacity}`).join(",")}`);
  if (state.position) {
    const [lon, lat] = state.position.center;
    parts.push(`lon=${lon.toFixed(5)}`, `lat=${lat.toFixed(5)}`, `zoom=${state.position.zoom.toFixed(2)}`);
  }
  if (state.before) parts.push(`swipe=${state.swipe.toFixed(2)}`);
  return `#${parts.join("&")}`;
}

/** Replace the hash without an entry in the history and without an event. */
export function writeHash(state) {
  history.replaceState(null, "", hashOf(state));
}
