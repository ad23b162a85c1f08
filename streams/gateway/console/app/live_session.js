/** What a session tells, as it happens. */
import { keep, parsed } from "./live.js";

/**
 * Follow one session: its frames from a cursor on, each once and in order, over interruptions.
 * @param {string} sessionId
 * @param {(frame: any) => void} onFrame
 * @param {string} [from] A cursor; all from the beginning without one.
 * @returns {() => void} Ends it.
 */
export function followSession(sessionId, onFrame, from = "") {
  let cursor = from;
  return keep(({ alive, heard, lost }) => {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const query = cursor ? "?cursor=" + encodeURIComponent(cursor) : "";
    const socket = new WebSocket(`${scheme}://${location.host}/ws/${sessionId}${query}`, "cartrita");
    /** @type {ReturnType<typeof setInterval>} */
    const asking = setInterval(() => {
      if (socket.readyState === WebSocket.OPEN) socket.send('{"type": "ping"}');
    }, 5_000);
    socket.onmessage = (event) => {
      const frame = parsed(event.data);
      heard();
      if (frame.type === "connection") alive();
      if (frame.cursor) cursor = frame.cursor;
      if (frame.type && frame.type !== "pong" && frame.type !== "connection") onFrame(frame);
    };
    socket.onclose = lost;
    socket.onerror = lost;
    return () => {
      clearInterval(asking);
      socket.onclose = null;
      socket.onerror = null;
      socket.close();
    };
  });
}
