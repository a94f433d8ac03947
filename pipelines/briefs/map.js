"use strict";
(function () {
  const element = document.getElementById("map-data");
  if (element) drawMap(JSON.parse(element.textContent));
  document.querySelectorAll("button[data-copy]").forEach(function (button) {
    button.hidden = false;
    button.addEventListener("click", function () { copy(button); });
  });

  function drawMap(data) {
    const [west, south, east, north] = data.box;
    const canvas = L.canvas({ padding: 0.2, tolerance: 4 });
    const map = L.map("map", {
      renderer: canvas, attributionControl: false, zoomSnap: 0.25, maxZoom: 17,
      fadeAnimation: false, zoomAnimation: false, markerZoomAnimation: false,
    });
    const frame = document.getElementById("map");
    frame.classList.add("drawn");
    map.invalidateSize();
    // A canvas keeps its size: in print the whole map is made smaller (brief.css).
    function measure() {
      frame.style.setProperty("--width", frame.offsetWidth + "px");
      frame.style.setProperty("--fit", Math.min(1, 680 / frame.offsetWidth));
    }
    measure();
    map.on("resize", measure);
    L.control.scale({ imperial: false }).addTo(map);
    const shown = L.latLngBounds([[south, west], [north, east]]);
    data.sites.forEach(function (ring) { shown.extend(L.latLngBounds(ring)); });
    map.fitBounds(shown, { padding: [24, 24], maxZoom: 13, animate: false });

    const still = { renderer: canvas, interactive: false };
    data.land.forEach(function (ring) {
      L.polygon(ring, { ...still, color: "#8a8f86", weight: 1, fillColor: "#f6f3ea", fillOpacity: 1 }).addTo(map);
    });
    data.areas.forEach(function ([name, rings]) {
      rings.forEach(function (ring) {
        L.polygon(ring, { renderer: canvas, color: "#3f7f55", weight: 1, dashArray: "4 3", fillOpacity: 0.06 })
          .bindPopup(text("div", name)).addTo(map);
      });
    });
    data.sites.forEach(function (ring) {
      L.polygon(ring, { ...still, color: "#444", weight: 1, fillOpacity: 0 }).addTo(map);
    });
    const most = Math.max(1, ...data.groups.map(function (group) { return group[2]; }));
    data.groups.forEach(function ([lat, lon, sites]) {
      L.circleMarker([lat, lon], {
        renderer: canvas, radius: 4 + 10 * Math.sqrt(sites / most), color: "#666", weight: 0, fillOpacity: 0.35,
      }).bindPopup(text("div", sites.toLocaleString(document.documentElement.lang))).addTo(map);
    });
    const unchanged = data.changes.length - 1;
    data.points.forEach(function (point) {
      const [lat, lon, label, , change, proven] = point;
      const old = change === unchanged;
      L.circleMarker([lat, lon], {
        renderer: canvas, radius: old ? 4 : 6, color: proven ? "#fff" : data.colours[label], weight: proven ? 1 : 2,
        fillColor: data.colours[label], fillOpacity: !proven ? 0 : old ? 0.35 : 0.95,
      }).bindPopup(function () { return describe(data, point); }).addTo(map);
    });
    // For tests: when the browser has drawn everything.
    requestAnimationFrame(function () {
      requestAnimationFrame(function () {
        document.documentElement.dataset.drawnMs = Math.round(performance.now());
      });
    });
  }

  function describe(data, [lat, lon, label, status, change, proven, day, size, card]) {
    const box = document.createElement("div");
    const name = proven ? data.labels[label] : data.labels[label] + " (" + data.words.unproven_badge + ")";
    box.append(text("strong", name), text("div", data.changes[change] + ": " + data.statuses[status]));
    box.append(text("div", data.words.first_seen + ": " + day));
    if (size) box.append(text("div", size));
    const east = lon > 180 ? lon - 360 : lon;
    box.append(text("div", data.words.position + ": " + lat.toFixed(5) + ", " + east.toFixed(5)));
    if (card) {
      const link = text("a", data.words.site + " " + card);
      link.href = "#site-" + card;
      box.append(link);
    }
    return box;
  }

  function text(tag, words) {
    const element = document.createElement(tag);
    element.textContent = words;
    return element;
  }

  function copy(button) {
    const said = button.textContent;
    function done() {
      button.textContent = button.dataset.copied;
      setTimeout(function () { button.textContent = said; }, 1500);
    }
    if (navigator.clipboard) {
      navigator.clipboard.writeText(button.dataset.copy).then(done, function () { select(button, done); });
    } else {
      select(button, done);
    }
  }

  // Without the right to the clipboard: select the position, so that the reader can copy it.
  function select(button, done) {
    getSelection().selectAllChildren(button.previousElementSibling);
    if (document.execCommand("copy")) done();
  }
})();
