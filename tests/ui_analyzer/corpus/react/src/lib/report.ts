export function report(error: unknown, detail?: string | null): void {
  navigator.sendBeacon("/api/errors", JSON.stringify({ error: String(error), detail }));
}
