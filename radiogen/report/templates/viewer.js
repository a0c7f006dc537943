// The slice viewer: rebuilds the volumes that the page holds and draws three planes. It fetches nothing.
"use strict";
(function () {
  const part = (name) => document.getElementById("viewer-" + name);
  const data = JSON.parse(part("data").textContent);
  const [nx, ny, nz] = data.shape; // columns, rows, slices, as they are looked at
  const root = document.getElementById("viewer");
  const at = data.start.slice();
  const planes = {
    axial: { axis: 2, size: [nx, ny], place: (u, v) => [u, v, at[2]], index: (u, v) => (at[2] * ny + v) * nx + u },
    coronal: { axis: 1, size: [nx, nz], place: (u, v) => [u, at[1], nz - 1 - v], index: (u, v) => ((nz - 1 - v) * ny + at[1]) * nx + u },
    sagittal: { axis: 0, size: [ny, nz], place: (u, v) => [at[0], u, nz - 1 - v], index: (u, v) => ((nz - 1 - v) * ny + u) * nx + at[0] },
  };
  const cross = { axial: () => [at[0], at[1]], coronal: () => [at[0], nz - 1 - at[2]], sagittal: () => [at[1], nz - 1 - at[2]] };
  // The numbers that a reader sees count as the file does: from the patient's left, from behind, from below.
  const shownNumber = (axis) => (axis === 2 ? at[2] + 1 : (axis === 1 ? ny : nx) - at[axis]);
  const volumes = [];
  const layers = [];
  let chosen = data.first;
  let waiting = false;

  function fail(words) {
    part("problem").textContent = words;
    root.hidden = true;
    const still = part("still");
    if (still) still.classList.add("shown");
  }

  function bytesOf(text) {
    const raw = atob(text);
    const bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i += 1) bytes[i] = raw.charCodeAt(i);
    return bytes;
  }

  async function unpacked(text) {
    const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  async function volumeOf(sequence) {
    const picture = new Image();
    picture.src = sequence.src;
    await picture.decode();
    const canvas = document.createElement("canvas");
    canvas.width = picture.naturalWidth;
    canvas.height = picture.naturalHeight;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    const volume = new Uint8Array(nx * ny * nz);
    let sum = 0;
    for (let k = 0, to = 0; k < nz; k += 1) {
      const top = Math.floor(k / sequence.across) * sequence.tile[1];
      const left = (k % sequence.across) * sequence.tile[0];
      for (let v = 0; v < ny; v += 1) {
        for (let u = 0, from = ((top + v) * canvas.width + left) * 4; u < nx; u += 1, from += 4, to += 1) {
          volume[to] = pixels[from];
          sum += pixels[from];
        }
      }
    }
    if (Math.abs(sum / volume.length - sequence.mean) > 12) throw new Error("this browser hides the pixels of pictures from pages");
    return volume;
  }

  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

  function coloursOf(layer) {
    const table = new Array(256).fill(null);
    if (layer.kind === "labels") {
      for (const region of layer.regions) table[region.label] = rgb(region.colour);
      return table;
    }
    const stops = layer.colours.map(rgb);
    for (let value = 1; value < 256; value += 1) {
      const place = (value / 255) * (stops.length - 1);
      const low = Math.min(Math.floor(place), stops.length - 2);
      table[value] = stops[low].map((start, i) => start + (stops[low + 1][i] - start) * (place - low));
    }
    return table;
  }

  function greyTable() {
    const bright = Number(part("bright").value);
    const gain = 1 + Number(part("contrast").value) / 100;
    return Uint8ClampedArray.from({ length: 256 }, (_, value) => value * gain + bright);
  }

  function draw() {
    waiting = false;
    if (!volumes[chosen]) return;
    const grey = greyTable();
    const opacity = part("opacity") ? Number(part("opacity").value) / 100 : 0;
    const over = layers.filter((layer) => layer.shown);
    for (const [name, plane] of Object.entries(planes)) {
      const canvas = part(name);
      const [width, height] = plane.size;
      const context = canvas.getContext("2d");
      const image = context.createImageData(width, height);
      for (let v = 0, to = 0; v < height; v += 1) {
        for (let u = 0; u < width; u += 1, to += 4) {
          const from = plane.index(u, v);
          const value = grey[volumes[chosen][from]];
          let red = value, green = value, blue = value;
          for (const layer of over) {
            const colour = layer.table[layer.bytes[from]];
            if (colour) {
              red += (colour[0] - red) * opacity;
              green += (colour[1] - green) * opacity;
              blue += (colour[2] - blue) * opacity;
            }
          }
          image.data[to] = red;
          image.data[to + 1] = green;
          image.data[to + 2] = blue;
          image.data[to + 3] = 255;
        }
      }
      context.putImageData(image, 0, 0);
      const [u, v] = cross[name]();
      context.fillStyle = "rgba(242,244,247,.55)";
      for (const [x, y, w, h] of [[u, 0, 1, v - 4], [u, v + 5, 1, height], [0, v, u - 4, 1], [u + 5, v, width, 1]]) {
        if (w > 0 && h > 0) context.fillRect(x, y, w, h);
      }
      describe(name, plane);
    }
    if (part("opacity")) part("opacity-number").textContent = part("opacity").value + " %";
  }

  function describe(name, plane) {
    const number = shownNumber(plane.axis);
    const slider = part(name + "-slice");
    const words = number + " of " + slider.max;
    slider.value = String(number);
    slider.setAttribute("aria-valuetext", words);
    part(name + "-number").textContent = words;
    const over = layers.filter((layer) => layer.shown).map((layer) => layer.title);
    const title = document.querySelectorAll(".viewer input[type=radio]")[chosen].parentElement.textContent.trim();
    part(name).setAttribute("aria-label", name + " slice " + words + ", " + title + (over.length ? ", with " + over.join(", ") : ""));
  }

  function redraw() {
    if (!waiting) {
      waiting = true;
      requestAnimationFrame(draw);
    }
  }

  function goTo(place) {
    [nx, ny, nz].forEach((count, axis) => { at[axis] = Math.max(0, Math.min(count - 1, Math.round(place[axis]))); });
    redraw();
  }

  function step(axis, by) {
    const place = at.slice();
    place[axis] += axis === 2 ? by : -by;
    goTo(place);
  }

  function choose(number) {
    const radio = document.querySelectorAll(".viewer input[type=radio]")[number];
    if (!radio) return;
    radio.checked = true;
    chosen = number;
    part("spoken").textContent = radio.parentElement.textContent.trim();
    redraw();
  }

  function listen(name, plane) {
    const canvas = part(name);
    [canvas.width, canvas.height] = plane.size;
    part(name + "-slice").addEventListener("input", (event) => {
      const place = at.slice();
      const number = Number(event.target.value);
      place[plane.axis] = plane.axis === 2 ? number - 1 : (plane.axis === 1 ? ny : nx) - number;
      goTo(place);
    });
    const point = (event) => {
      const box = canvas.getBoundingClientRect();
      goTo(plane.place(((event.clientX - box.left) / box.width) * canvas.width - 0.5, ((event.clientY - box.top) / box.height) * canvas.height - 0.5));
    };
    let from = null;
    canvas.addEventListener("pointerdown", (event) => {
      from = event.clientX;
      if (event.pointerType === "mouse") { canvas.setPointerCapture(event.pointerId); point(event); }
    });
    canvas.addEventListener("pointermove", (event) => {
      if (from === null) return;
      if (event.pointerType === "mouse") point(event);
      else if (Math.abs(event.clientX - from) > 6) { step(plane.axis, event.clientX > from ? 1 : -1); from = event.clientX; }
    });
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => { from = null; });
    canvas.addEventListener("click", (event) => point(event));
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); step(plane.axis, event.deltaY > 0 ? -1 : 1); }, { passive: false });
  }

  function start() {
    for (const [name, plane] of Object.entries(planes)) listen(name, plane);
    document.querySelectorAll(".viewer input[type=radio]").forEach((radio, number) => radio.addEventListener("change", () => choose(number)));
    const boxes = document.querySelectorAll(".viewer input[type=checkbox]");
    boxes.forEach((box, number) => box.addEventListener("change", () => { layers[number].shown = box.checked; redraw(); }));
    ["opacity", "bright", "contrast"].forEach((name) => { if (part(name)) part(name).addEventListener("input", redraw); });
    part("reset").addEventListener("click", () => {
      ["opacity", "bright", "contrast"].forEach((name) => { if (part(name)) part(name).value = part(name).defaultValue; });
      goTo(data.start);
    });
    let hidden = [];
    root.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (/^[1-9]$/.test(event.key)) choose(Number(event.key) - 1);
      else if (event.key === "m" || event.key === "M") {
        const shown = layers.map((layer, number) => (layer.shown ? number : -1)).filter((number) => number >= 0);
        const turned = shown.length ? shown : hidden.length ? hidden : [0];
        hidden = shown;
        turned.forEach((number) => { if (layers[number]) { layers[number].shown = !shown.length; boxes[number].checked = !shown.length; } });
        redraw();
      }
    });
  }

  async function load() {
    if (typeof DecompressionStream === "undefined") throw new Error("this browser is too old to unpack it");
    for (const layer of data.layers) {
      layers.push({ title: layer.title, shown: layer.shown, table: coloursOf(layer), bytes: await unpacked(layer.bytes) });
    }
    volumes[chosen] = await volumeOf(data.sequences[chosen]);
    root.hidden = false;
    start();
    draw();
    for (const [number, sequence] of data.sequences.entries()) {
      if (!volumes[number]) volumes[number] = await volumeOf(sequence);
    }
    root.dataset.ready = "yes";
    redraw();
  }

  load().catch((error) => fail("The viewer cannot run: " + error.message + ". The picture below stands for it."));
})();
