export interface Signal<T> {
  value: T;
  peek(): T;
  subscribe(told: (value: T) => void): () => void;
}
export function signal<T>(value: T): Signal<T>;
