/** Comparison of two sides of the map with a divider that is moved by mouse, finger or arrow keys. */

import * as maplibregl from "./vendor/maplibre-gl.mjs";
import { loadScript, showError } from "./dom.js";
import { MapView } from "./mapview.js";

const STEP = 0.02;

/** The compare plugin is a classic script that adds itself to a global `maplibregl`. */
async function compareClass() {
  globalThis.maplibregl ??= { ...maplibregl };
  if (!globalThis.maplibregl.Compare) await loadScript("static/vendor/maplibre-gl-compare.js");
  return globalThis.maplibregl.Compare;
}

export class Swipe {
  /** Open a second map on the left of `view`; `onMove` is called with the share of the width after each move. */
  static async open(view, basemap, share, onMove) {
    const Compare = await compareClass();
    const container = document.getElementById("before");
    container.hidden = false;
    const swipe = new Swipe();
    swipe.container = container;
    swipe.left = new MapView(container, { label: "Map of the left side", controls: false });
    swipe.left.map.jumpTo(view.position());
    await swipe.left.ready;
    swipe.left.setBasemap(basemap).catch(showError);
    swipe.compare = new Compare(swipe.left.map, view.map, document.getElementById("view"));
    swipe.#handle(onMove);
    swipe.set(share);
    return swipe;
  }

  /** Move the divider to a share of the width, 0 to 1. */
  set(share) {
    this.share = Math.max(0, Math.min(1, share));
    this.compare.setSlider(this.share * this.#width());
    const handle = this.container.parentElement.querySelector(".compare-swiper-vertical");
    handle.setAttribute("aria-valuenow", Math.round(100 * this.share));
    handle.setAttribute("aria-valuetext", `${Math.round(100 * this.share)} % of the width`);
  }

  close() {
    this.compare.remove();
    this.left.map.remove();
    this.container.replaceChildren();
    this.container.removeAttribute("class");
    this.container.hidden = true;
    this.resized.disconnect();
  }

  #width() {
    return this.container.parentElement.clientWidth;
  }

  /** Make the plugin's handle a slider for the keyboard and for screen readers. */
  #handle(onMove) {
    const handle = this.container.parentElement.querySelector(".compare-swiper-vertical");
    const attributes = {
      role: "slider", tabindex: "0", "aria-label": "Divider between the left and the right side",
      "aria-valuemin": "0", "aria-valuemax": "100", "aria-orientation": "horizontal",
    };
    for (const [name, value] of Object.entries(attributes)) handle.setAttribute(name, value);
    handle.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -STEP, ArrowRight: STEP, Home: -1, End: 1 };
      if (!(event.key in steps)) return;
      event.preventDefault();
      this.set(this.share + steps[event.key]);
      onMove(this.share);
    });
    this.compare.on("slideend", ({ currentPosition }) => {
      this.set(currentPosition / this.#width());
      onMove(this.share);
    });
    // the plugin keeps the position in pixels when the width changes
    this.resized = new ResizeObserver(() => this.set(this.share));
    this.resized.observe(this.container.parentElement);
  }
}
