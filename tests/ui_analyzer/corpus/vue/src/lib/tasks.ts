export interface Task {
  id: number;
  title: string;
  done: boolean;
}

export async function loadTasks(): Promise<Task[]> {
  const response = await fetch("/api/tasks");
  if (!response.ok) {
    throw new Error(`tasks: HTTP ${response.status}`);
  }
  return response.json();
}
