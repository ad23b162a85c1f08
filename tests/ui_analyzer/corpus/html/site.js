const more = document.getElementById("more");
const list = document.getElementById("list");

more?.addEventListener("click", () => {
  const open = more.getAttribute("aria-expanded") === "true";
  more.setAttribute("aria-expanded", String(!open));
  list.hidden = open;
});
