"""Script that runs in the page under test; each piece returns plain values, which are not trusted."""

OBSERVERS = """
(() => {
  const seen = { lcp: 0, cls: 0, fcp: 0, longTasks: 0, blocking: 0, interaction: 0, sockets: 0 };
  const observers = [];
  // What was noticed is handed over when the page is idle, which may be after it is asked for.
  const upToDate = () => { observers.forEach(([observer, read]) => observer.takeRecords().forEach(read)); return seen; };
  Object.defineProperty(window, '__cartritaVitals', { get: upToDate });
  const observe = (type, read, options) => {
    try {
      const observer = new PerformanceObserver((list) => list.getEntries().forEach(read));
      observer.observe({ type, buffered: true, ...options });
      observers.push([observer, read]);
    } catch { seen[type] = null; }
  };
  observe('largest-contentful-paint', (entry) => { seen.lcp = entry.startTime; });
  observe('paint', (entry) => { if (entry.name === 'first-contentful-paint') seen.fcp = entry.startTime; });
  observe('layout-shift', (entry) => { if (!entry.hadRecentInput) seen.cls += entry.value; });
  observe('longtask', (entry) => { seen.longTasks += 1; seen.blocking += Math.max(0, entry.duration - 50); });
  observe('event', (entry) => { if (entry.interactionId) seen.interaction = Math.max(seen.interaction, entry.duration); },
    { durationThreshold: 16 });
})();
"""
VITALS = "() => ({ ...window.__cartritaVitals })"
OVERFLOW = """
() => {
  const root = document.documentElement;
  if (root.scrollWidth <= root.clientWidth + 1) return null;
  const limit = root.clientWidth + 1;
  const wide = [...document.body.querySelectorAll('*')].find((element) => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && box.right > limit && getComputedStyle(element).position !== 'fixed';
  });
  const name = (element) => element.id ? '#' + CSS.escape(element.id)
    : element.localName + [...element.classList].slice(0, 2).map((part) => '.' + CSS.escape(part)).join('');
  return { width: root.scrollWidth, by: wide ? name(wide) : 'html' };
}
"""
FOCUSED = """
() => {
  let element = document.activeElement;
  while (element && element.shadowRoot && element.shadowRoot.activeElement) element = element.shadowRoot.activeElement;
  if (!element || element === document.body || element === document.documentElement) return null;
  const parts = [];
  for (let at = element; at && at !== document.body && parts.length < 5; at = at.parentElement) {
    if (at.id) { parts.unshift('#' + CSS.escape(at.id)); break; }
    const same = at.parentElement ? [...at.parentElement.children].filter((other) => other.localName === at.localName) : [at];
    parts.unshift(at.localName + (same.length > 1 ? `:nth-of-type(${same.indexOf(at) + 1})` : ''));
  }
  const box = element.getBoundingClientRect();
  return { selector: parts.join(' > '), html: element.outerHTML.slice(0, 160),
    x: box.x, y: box.y, width: box.width, height: box.height };
}
"""
BLUR = "() => { const at = document.activeElement; if (at && at.blur) at.blur(); }"
REFOCUS = "(selector) => { const at = document.querySelector(selector); if (at) at.focus({ preventScroll: true }); }"
FOCUSABLE = """
() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')].filter((element) =>
  !element.disabled && element.tabIndex >= 0 && element.type !== 'hidden' && element.checkVisibility({ contentVisibilityAuto: true, visibilityProperty: true }) && element.getClientRects().length > 0
  && !(element.type === 'radio' && !element.checked)
).length
"""
FRAME_RATE = """
() => new Promise((resolve) => {
  let frames = 0; const start = performance.now();
  const tick = (now) => { frames += 1; if (now - start >= 1000) resolve(frames * 1000 / (now - start)); else requestAnimationFrame(tick); };
  requestAnimationFrame(tick);
})
"""
AXE_RUN = """
async () => {
  const result = await axe.run(document, { resultTypes: ['violations', 'incomplete', 'passes'] });
  const short = (entry) => ({ id: entry.id, impact: entry.impact, help: entry.help, helpUrl: entry.helpUrl,
    tags: entry.tags, nodes: entry.nodes.slice(0, 50).map((node) => ({
      target: node.target.flat(3).join(' '), html: node.html.slice(0, 160), summary: (node.failureSummary || '').slice(0, 300) })),
    count: entry.nodes.length });
  return { version: axe.version, violations: result.violations.map(short), incomplete: result.incomplete.map(short),
    passes: result.passes.map((entry) => ({ id: entry.id, impact: entry.impact, help: entry.help, helpUrl: entry.helpUrl,
      tags: entry.tags, nodes: [], count: entry.nodes.length })) };
}
"""
