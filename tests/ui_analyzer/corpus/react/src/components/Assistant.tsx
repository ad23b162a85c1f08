import { useRef, useState } from "react";
import Markdown from "react-markdown";
import { ask } from "../lib/agent";

interface Message {
  id: string;
  text: string;
}

export default function Assistant() {
  const [messages, setMessages] = useState<Message[]>([]);
  const [draft, setDraft] = useState("");
  const [pending, setPending] = useState(false);
  const [error, setError] = useState("");
  const controller = useRef<AbortController | null>(null);

  const send = async () => {
    controller.current = new AbortController();
    setPending(true);
    try {
      const answer = await ask(draft, controller.current.signal);
      setMessages((old) => [...old, { id: answer.id, text: answer.text }].slice(-200));
    } catch (reason) {
      setError(String(reason));
    } finally {
      setPending(false);
    }
  };

  return (
    <section aria-label="Assistant">
      <h2>Assistant</h2>
      <ul role="log" className="transcript">
        {messages.map((message) => (
          <li key={message.id}>
            <Markdown>{message.text}</Markdown>
          </li>
        ))}
      </ul>
      {error && <p role="alert">{error}</p>}
      <label htmlFor="draft">Question</label>
      <textarea id="draft" value={draft} onChange={(event) => setDraft(event.target.value)} />
      <button type="button" disabled={pending} onClick={send}>
        Send
      </button>
      <button type="button" disabled={!pending} onClick={() => controller.current?.abort()}>
        Stop
      </button>
    </section>
  );
}
