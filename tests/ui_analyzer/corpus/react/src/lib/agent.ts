export interface Answer {
  id: string;
  text: string;
}

export async function ask(question: string, signal: AbortSignal): Promise<Answer> {
  const response = await fetch("/api/chat", {
    method: "POST",
    body: JSON.stringify({ question, stream: true }),
    signal,
  });
  if (!response.ok || !response.body) {
    throw new Error(`chat: HTTP ${response.status}`);
  }
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    text += decoder.decode(part.value, { stream: true });
  }
  return { id: crypto.randomUUID(), text };
}
