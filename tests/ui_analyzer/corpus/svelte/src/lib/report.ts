export function report(error: unknown): void {
  navigator.sendBeacon("/api/errors", String(error));
}
