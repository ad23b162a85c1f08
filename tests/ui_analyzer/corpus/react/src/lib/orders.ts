export interface Order {
  id: string;
  title: string;
  price: string;
  picture: string;
}

export async function fetchOrders(query: string, signal: AbortSignal): Promise<Order[]> {
  const response = await fetch(`/api/orders?q=${encodeURIComponent(query)}`, { signal });
  if (!response.ok) {
    throw new Error(`orders: HTTP ${response.status}`);
  }
  return response.json();
}

export async function cancelOrder(id: string): Promise<void> {
  const response = await fetch(`/api/orders/${id}`, { method: "DELETE" });
  if (!response.ok) {
    throw new Error(`cancel: HTTP ${response.status}`);
  }
}
