"use strict";
// Arrow keys, page keys and space go from slide to slide.
const slides = Array.from(document.querySelectorAll(".slide"));
const steps = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };
document.addEventListener("keydown", (event) => {
  const step = steps[event.key];
  if (!step) return;
  event.preventDefault();
  const tops = slides.map((slide) => Math.abs(slide.getBoundingClientRect().top));
  const current = tops.indexOf(Math.min(...tops));
  const next = Math.min(slides.length - 1, Math.max(0, current + step));
  slides[next].scrollIntoView();
});
