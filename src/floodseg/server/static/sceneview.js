/** An opened map: its panel, its layers on the map and the address that belongs to them. */

import { getJson } from "./api.js";
import { AreaTool } from "./area.js";
import { clearError, showError } from "./dom.js";
import { chosenLayers, defaultLayers } from "./layers.js";
import { scenePanel } from "./scene.js";
import { readHash, writeHash } from "./state.js";
import { Swipe } from "./swipe.js";
import { showValues } from "./values.js";

const SIDES = ["side-before", "side-after"];

export class SceneView {
  #swipe = null;
  #beforeScene = null;
  #onMove = () => this.#remember();

  constructor({ view, basemap, panel, scene, scenes }) {
    Object.assign(this, { view, basemap, panel, scene });
    this.others = scenes.filter(({ id, bounds }) => id !== scene.id && bounds);
    this.tool = new AreaTool(view, scene);
  }

  /** Show the map as the state of the address says. */
  async open(state) {
    if (this.scene.bounds && !state.position) this.view.fit(this.scene.bounds);
    await this.apply(state);
    this.view.map.on("moveend", this.#onMove);
  }

  /** Take over a state: layers, position, left side and divider. */
  async apply(state) {
    this.choice = state.layers ?? defaultLayers(this.scene);
    this.share = state.swipe;
    this.before = state.before;
    this.panel.replaceChildren(...scenePanel(this.scene, {
      choice: this.choice,
      before: this.before,
      others: this.others,
      tool: this.tool,
      actions: {
        onLayers: (choice) => this.#show(choice),
        onBefore: (before) => this.#compare(before),
        onCentre: () => this.pick(this.view.centre().lngLat),
        onFit: () => this.view.fit(this.scene.bounds),
      },
    }));
    if (!this.scene.bounds) return;
    if (state.position) this.view.map.jumpTo(state.position);
    this.#show(this.choice);
    await this.#compare(this.before);
  }

  /** A click on the map: a corner while an area is drawn, else the values there. */
  async pick(lngLat) {
    if (this.tool.drawing) return this.tool.add(lngLat);
    if (this.scene.bounds) await showValues(this.view, this.scene, lngLat);
  }

  close() {
    this.view.map.off("moveend", this.#onMove);
    this.tool.clear();
    this.view.closePopup();
    this.#closeSwipe();
    this.view.setLayers(this.scene, []);
  }

  #show(choice) {
    this.choice = choice;
    this.view.setLayers(this.scene, chosenLayers(this.scene, choice));
    this.#showLeft();
    this.#remember();
  }

  /** Compare with nothing (null), a layer of this map (`ID/LAYER`) or another map (`ID`). */
  async #compare(before) {
    this.before = before;
    if (!before) this.#closeSwipe();
    else await this.#openSwipe(before).catch((error) => this.#refuse(error));
    this.#remember();
  }

  #refuse(error) {
    this.before = null;
    this.#closeSwipe();
    showError(error);
  }

  async #openSwipe(before) {
    clearError();
    const [id] = before.split("/");
    this.#beforeScene = id === this.scene.id ? this.scene : await getJson(`api/scenes/${encodeURIComponent(id)}`);
    this.#swipe ??= await Swipe.open(this.view, this.basemap, this.share, (share) => {
      this.share = share;
      this.#remember();
    });
    this.#swipe.set(this.share);
    this.#showLeft();
    this.#label(this.#leftTitle(), this.scene.name);
  }

  #leftLayers() {
    const [, name] = this.before.split("/");
    const choice = name ? new Map([[name, 1]]) : this.choice;
    return chosenLayers(this.#beforeScene, choice);
  }

  #leftTitle() {
    const [, name] = this.before.split("/");
    return name ? (this.#leftLayers()[0]?.[0].title ?? name) : this.#beforeScene.name;
  }

  #showLeft() {
    if (this.#swipe && this.before) this.#swipe.left.setLayers(this.#beforeScene, this.#leftLayers());
  }

  #closeSwipe() {
    this.#swipe?.close();
    this.#swipe = null;
    this.#label(null, null);
  }

  #label(...texts) {
    SIDES.forEach((id, i) => {
      const label = document.getElementById(id);
      label.textContent = texts[i] ?? "";
      label.hidden = !texts[i];
    });
  }

  /** Write the view into the address, unless the address already names another page. */
  #remember() {
    if (readHash().scene !== this.scene.id) return;
    const { choice: layers, before, share: swipe } = this;
    writeHash({ scene: this.scene.id, layers, before, swipe, position: this.view.position() });
  }
}
