export interface Profile {
  name: string;
}

export async function loadProfile() {
  const response = await fetch("/api/profile");
  if (!response.ok) {
    throw new Error(`profile: HTTP ${response.status}`);
  }
  return response.json();
}

export async function saveProfile(profile: Profile): Promise<void> {
  const response = await fetch("/api/profile", { method: "PUT", body: JSON.stringify(profile) });
  if (!response.ok) {
    throw new Error(`profile: HTTP ${response.status}`);
  }
  localStorage.setItem("last-section", "profile");
}
