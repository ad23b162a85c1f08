import { lazy, Suspense } from "react";
import { BrowserRouter, Link, Route, Routes } from "react-router-dom";
import { ConnectionStatus } from "./components/ConnectionStatus";

const Orders = lazy(() => import("./components/Orders"));
const Profile = lazy(() => import("./components/Profile"));
const Assistant = lazy(() => import("./components/Assistant"));

export function App() {
  return (
    <BrowserRouter>
      <header className="bar">
        <h1>Orders</h1>
        <nav aria-label="Main">
          <ul className="links">
            <li>
              <Link to="/">Orders</Link>
            </li>
            <li>
              <Link to="/profile">Profile</Link>
            </li>
            <li>
              <Link to="/assistant">Assistant</Link>
            </li>
          </ul>
        </nav>
        <ConnectionStatus />
      </header>
      <main id="content">
        <Suspense fallback={<p role="status">Loading…</p>}>
          <Routes>
            <Route path="/" element={<Orders />} />
            <Route path="/profile" element={<Profile />} />
            <Route path="/assistant" element={<Assistant />} />
          </Routes>
        </Suspense>
      </main>
    </BrowserRouter>
  );
}
