import { useEffect, useRef, useState } from "react";
import { Trash2 } from "lucide-react";
import { cancelOrder, fetchOrders, type Order } from "../lib/orders";
import { ConfirmDialog } from "./ConfirmDialog";

export default function Orders() {
  const [query, setQuery] = useState("");
  const [orders, setOrders] = useState<Order[]>([]);
  const [loading, setLoading] = useState(true);
  const [error, setError] = useState<string | null>(null);
  const [doomed, setDoomed] = useState<Order | null>(null);
  const [width, setWidth] = useState(0);
  const list = useRef<HTMLUListElement>(null);

  useEffect(() => {
    const controller = new AbortController();
    setLoading(true);
    fetchOrders(query, controller.signal)
      .then((found) => setOrders(found))
      .catch((reason: Error) => setError(reason.message))
      .finally(() => setLoading(false));
    return () => controller.abort();
  }, [query]);

  useEffect(() => {
    const measure = () => setWidth(list.current?.clientWidth ?? 0);
    window.addEventListener("resize", measure);
    return () => window.removeEventListener("resize", measure);
  }, []);

  const remove = async (order: Order) => {
    try {
      await cancelOrder(order.id);
      setOrders((old) => old.filter((other) => other.id !== order.id));
    } catch (reason) {
      setError(String(reason));
    }
  };

  const add = (order: Order) => {
    setOrders([...orders, order]);
  };

  return (
    <section aria-labelledby="orders-title">
      <h2 id="orders-title">Open orders</h2>
      <form role="search">
        <label htmlFor="query">Search</label>
        <input id="query" type="search" value={query} onChange={(event) => setQuery(event.target.value)} />
      </form>
      {loading && <p role="status">Loading orders…</p>}
      {error && <p role="alert">{error}</p>}
      <ul ref={list} data-width={width} className="orders">
        {orders.map((order) => (
          <li key={order.id} className="card">
            <img src={order.picture} alt={order.title} width={64} height={64} />
            <h3>{order.title}</h3>
            <p className="price">{order.price}</p>
            <button type="button" aria-label={`Cancel ${order.title}`} onClick={() => setDoomed(order)}>
              <Trash2 size={24} />
            </button>
            <button type="button" onClick={() => add({ ...order, id: `${order.id}-again` })}>
              Order again
            </button>
          </li>
        ))}
      </ul>
      <p>
        Prices are explained in the <a href="/prices">price list</a>, taxes in the{" "}
        <a href="https://tax.example.org/guide" target="_blank" rel="noopener">
          guide of the tax office
        </a>
        .
      </p>
      <table>
        <caption>Totals</caption>
        <thead>
          <tr>
            <th scope="col">Month</th>
            <th scope="col">Sum</th>
          </tr>
        </thead>
        <tbody>
          <tr>
            <td>May</td>
            <td>120</td>
          </tr>
        </tbody>
      </table>
      {doomed && (
        <ConfirmDialog
          title={`Cancel ${doomed.title}?`}
          onConfirm={() => remove(doomed)}
          onClose={() => setDoomed(null)}
        />
      )}
    </section>
  );
}
