import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { loadProfile, saveProfile } from "../lib/profile";

export default function Profile() {
  const { data, isPending, error } = useQuery({ queryKey: ["profile"], queryFn: loadProfile });
  const [name, setName] = useState("");
  const [message, setMessage] = useState("");
  const fullName = `${data?.title ?? ""} ${name}`.trim();

  const submit = async () => {
    try {
      await saveProfile({ name });
      setMessage("Saved");
    } catch (reason) {
      setMessage(`Could not be saved: ${String(reason)}`);
    }
  };

  if (isPending) return <p role="status">Loading…</p>;
  if (error) return <p role="alert">{error.message}</p>;

  return (
    <section aria-label="Profile">
      <h2>Profile of {fullName}</h2>
      <form onSubmit={submit}>
        <label>
          Name
          <input name="name" autoComplete="name" value={name} onChange={(event) => setName(event.target.value)} />
        </label>
        <label htmlFor="mail">Email</label>
        <input id="mail" type="email" autoComplete="email" defaultValue={data.mail} />
        <label htmlFor="country">Country</label>
        <select id="country" autoComplete="country">
          <option>Norway</option>
          <option>Peru</option>
        </select>
        <div
          role="checkbox"
          tabIndex={0}
          aria-checked={data.news}
          aria-label="News by mail"
          onClick={data.toggle}
          onKeyDown={data.toggleByKey}
        />
        <button type="submit">Save</button>
      </form>
      <p role="status">{message}</p>
      <video controls src="/tour.mp4">
        <track kind="captions" src="/tour.vtt" srcLang="en" label="English" />
      </video>
      <iframe title="Map of the office" src="/map" />
    </section>
  );
}
