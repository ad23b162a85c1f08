import { useSyncExternalStore } from "react";
import { live } from "../lib/live";

export function ConnectionStatus() {
  const connected = useSyncExternalStore(live.subscribe, live.isConnected);

  return (
    <p role="status" className="status">
      {connected ? "Connected" : "Reconnecting…"}
    </p>
  );
}
