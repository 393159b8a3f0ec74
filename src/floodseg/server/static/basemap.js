/** Style of the map: empty sources for drawings, and below all the countries of the world or the user's own PMTiles file. */

import * as maplibregl from "./vendor/maplibre-gl.mjs";
import { address } from "./api.js";
import { loadScript } from "./dom.js";

const COLOURS = { sea: "#dbe5ec", land: "#f6f4ee", border: "#a9a398", name: "#5a554b", casing: "#ffffff", mark: "#a3195b" };
const EMPTY = { type: "FeatureCollection", features: [] };
/** Layers of scenes are drawn below this layer. */
export const ABOVE_SCENES = "footprints-casing";

/** Style for `new Map`, without the basemap. */
export function emptyStyle() {
  return {
    version: 8,
    sources: { footprints: geojson(EMPTY), area: geojson(EMPTY) },
    layers: [
      { id: "sea", type: "background", paint: { "background-color": COLOURS.sea } },
      ...footprintLayers(),
      ...areaLayers(),
    ],
  };
}

/** Sources and layers of the basemap; `info` is the answer of `api/info`. */
export function basemap(info) {
  return info.basemap ? ownBasemap() : countries();
}

function geojson(data) {
  return { type: "geojson", data };
}

/** The countries of the world. */
async function countries() {
  const [packed] = await Promise.all([
    fetch("static/vendor/countries-50m.json.gz"),
    loadScript("static/vendor/topojson-client.min.js"),
  ]);
  const atlas = await new Response(packed.body.pipeThrough(new DecompressionStream("gzip"))).json();
  const { feature, mesh } = globalThis.topojson;
  const areas = feature(atlas, atlas.objects.countries);
  areas.features.forEach(unwrap);
  return {
    sources: {
      countries: { ...geojson(areas), attribution: "Natural Earth" },
      borders: geojson(mesh(atlas, atlas.objects.countries, (a, b) => a !== b)),
      names: geojson({ type: "FeatureCollection", features: areas.features.map(namePoint) }),
    },
    layers: [
      { id: "countries", source: "countries", type: "fill", paint: { "fill-color": COLOURS.land } },
      { id: "borders", source: "borders", type: "line", paint: { "line-color": COLOURS.border, "line-width": 1 } },
      {
        id: "names",
        source: "names",
        type: "symbol",
        maxzoom: 9,
        layout: {
          "text-field": ["get", "name"], "text-font": ["sans-serif"], "text-size": 12, "symbol-sort-key": ["get", "rank"],
        },
        paint: { "text-color": COLOURS.name, "text-halo-color": COLOURS.land, "text-halo-width": 1.5 },
      },
    ],
  };
}

function polygonsOf({ type, coordinates }) {
  return type === "Polygon" ? [coordinates] : coordinates;
}

/** Let rings that cross the antimeridian go on beyond 180 degrees, instead of back around the world. */
function unwrap({ geometry }) {
  for (const polygon of polygonsOf(geometry)) {
    // the atlas describes Antarctica by its coast and by a ring at the pole
    const rings = polygon.filter((ring) => ring.some(([, lat]) => lat > -89));
    rings.forEach(unwrapRing);
    polygon.splice(0, polygon.length, ...rings);
  }
}

function unwrapRing(ring) {
  let last = ring[0][0];
  for (const point of ring) {
    point[0] -= 360 * Math.round((point[0] - last) / 360);
    last = point[0];
  }
  // a coast around the pole is closed along the lower edge of the map
  if (Math.abs(last - ring[0][0]) > 180) ring.push([last, -90], [ring[0][0], -90], ring[0]);
}

/** Place of a country's name: the middle of the bounds of its longest ring. Long rings come first. */
function namePoint({ geometry, properties }) {
  const ring = polygonsOf(geometry).map((rings) => rings[0]).reduce((best, next) => (next.length > best.length ? next : best));
  const middle = [0, 1].map((axis) => {
    const values = ring.map((point) => point[axis]);
    return (Math.min(...values) + Math.max(...values)) / 2;
  });
  return { type: "Feature", properties: { name: properties.name, rank: -ring.length }, geometry: { type: "Point", coordinates: middle } };
}

/** Layers of `basemap.pmtiles`: pictures as they are, vectors as areas and lines. */
async function ownBasemap() {
  await loadScript("static/vendor/pmtiles.js");
  const { PMTiles, Protocol, TileType } = globalThis.pmtiles;
  const archive = new PMTiles(address("basemap.pmtiles"));
  const protocol = new Protocol();
  protocol.add(archive);
  maplibregl.addProtocol("pmtiles", protocol.tile);
  const [header, metadata] = await Promise.all([archive.getHeader(), archive.getMetadata()]);
  const url = `pmtiles://${address("basemap.pmtiles")}`;
  const { attribution = "" } = metadata;
  if (header.tileType !== TileType.Mvt) {
    return {
      sources: { own: { type: "raster", url, tileSize: 256, attribution } },
      layers: [{ id: "own", source: "own", type: "raster" }],
    };
  }
  const names = (metadata.vector_layers ?? []).map((layer) => layer.id);
  return {
    sources: { own: { type: "vector", url, attribution } },
    layers: [...names.map(ownAreas), ...names.map(ownLines), ...names.filter((name) => /place/i.test(name)).map(ownNames)],
  };
}

function ownAreas(name) {
  const colour = /water|ocean|sea/i.test(name) ? COLOURS.sea : COLOURS.land;
  const filter = ["==", ["geometry-type"], "Polygon"];
  return { id: `own-${name}-areas`, source: "own", "source-layer": name, type: "fill", filter, paint: { "fill-color": colour } };
}

function ownLines(name) {
  const filter = ["==", ["geometry-type"], "LineString"];
  const paint = { "line-color": COLOURS.border, "line-width": 1 };
  return { id: `own-${name}-lines`, source: "own", "source-layer": name, type: "line", filter, paint };
}

/** Names of towns and countries; those of other layers would cover the map. */
function ownNames(name) {
  const layout = { "text-field": ["get", "name"], "text-font": ["sans-serif"], "text-size": 12 };
  const paint = { "text-color": COLOURS.name, "text-halo-color": COLOURS.land, "text-halo-width": 1.5 };
  return { id: `own-${name}-names`, source: "own", "source-layer": name, type: "symbol", layout, paint };
}

/** Outlines of the finished maps, and a point for each, since outlines are tiny on a map of the world. */
function footprintLayers() {
  const source = "footprints";
  const outline = ["==", ["geometry-type"], "Polygon"];
  const point = ["==", ["geometry-type"], "Point"];
  const line = (id, colour, width) => ({
    id, source, type: "line", filter: outline, paint: { "line-color": colour, "line-width": width },
  });
  return [
    line("footprints-casing", COLOURS.casing, 4),
    line("footprints-line", COLOURS.mark, 2),
    {
      id: "footprints-points",
      source,
      type: "circle",
      filter: point,
      paint: {
        "circle-color": COLOURS.mark, "circle-radius": 7, "circle-stroke-color": COLOURS.casing, "circle-stroke-width": 2,
      },
    },
  ];
}

/** The drawn area: white casing and a line with corners, which show on dark water and on light land. */
function areaLayers() {
  const source = "area";
  return [
    { id: "area-casing", source, type: "line", paint: { "line-color": COLOURS.casing, "line-width": 5 } },
    { id: "area-line", source, type: "line", paint: { "line-color": COLOURS.mark, "line-width": 2 } },
    {
      id: "area-corners",
      source,
      type: "circle",
      filter: ["==", ["geometry-type"], "Point"],
      paint: {
        "circle-color": COLOURS.mark, "circle-radius": 5, "circle-stroke-color": COLOURS.casing, "circle-stroke-width": 2,
      },
    },
  ];
}
