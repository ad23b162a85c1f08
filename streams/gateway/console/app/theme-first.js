// Chooses the theme before the first paint; the only script that is no module.
(function () {
  var chosen = null;
  try {
    chosen = localStorage.getItem("cartrita.theme");
  } catch (error) {
    chosen = null;
  }
  var dark = matchMedia("(prefers-color-scheme: dark)").matches;
  var contrast = matchMedia("(prefers-contrast: more)").matches;
  document.documentElement.dataset.theme = chosen || (contrast ? "high-contrast" : dark ? "dark" : "light");
})();
