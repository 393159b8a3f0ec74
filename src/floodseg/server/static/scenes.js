/** List of the finished maps of the folder. */

import { element, formatDate, formatNumber } from "./dom.js";

/** Panel with all maps, newest first, and a sentence on each one that cannot be read. */
export function sceneList({ scenes, problems }) {
  const bad = problems.map((problem) => element("p", { class: "problem" }, problem));
  return [...finished(scenes), ...bad];
}

function finished(scenes) {
  const title = element("h1", {}, "Finished maps");
  if (!scenes.length) {
    const hint = element("p", {}, "The folder holds no finished map. ", element("a", { href: "#page=new" }, "Start a map"), ".");
    return [title, hint];
  }
  const count = scenes.length === 1 ? "One map." : `${scenes.length} maps, newest first.`;
  return [title, element("p", { class: "help" }, `${count} Open one in the list or on the map.`), element("ul", { class: "scenes" }, scenes.map(card))];
}

function card(scene) {
  const { flood, permanent_water: permanent } = scene.area_km2 ?? {};
  const picture = scene.thumbnail
    ? element("img", { src: scene.thumbnail, alt: "", loading: "lazy", width: 96, height: 72 })
    : element("span", { class: "no-picture" });
  const areas = [`Flood ${formatNumber(flood)} km²`, permanent ? `permanent water ${formatNumber(permanent)} km²` : null];
  return element(
    "li", {},
    element(
      "a", { href: `#scene=${encodeURIComponent(scene.id)}`, class: "card" },
      picture,
      element(
        "span", { class: "card-text" },
        element("strong", {}, scene.name),
        element("span", {}, formatDate(scene.datetime)),
        element("span", {}, areas.filter(Boolean).join(", ")),
        element("span", { class: "muted" }, `Model ${scene.model}`),
      ),
    ),
  );
}
