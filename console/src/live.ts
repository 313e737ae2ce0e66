// Live values by server-sent events. One EventSource for the whole page; it reconnects by itself.
import { useEffect, useState } from "preact/hooks";
import { parseJson } from "./json";

export interface LiveValue {
  value: unknown;
  ts: string;
}

interface ValuesEvent {
  stream: string;
  ts: string;
  values: Record<string, unknown>;
}

type Listener = () => void;

// The newest value of every tag, keyed "device.group.tag". Rendering is asked for at most once a
// frame however many events came.
class LiveStore {
  readonly values = new Map<string, LiveValue>();
  connected = false;
  private source: EventSource | null = null;
  private listeners = new Set<Listener>();
  private scheduled = false;

  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    if (!this.source) this.open();
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) this.shut();
    };
  }

  private open(): void {
    this.source = new EventSource("/api/v1/events");
    this.source.onopen = () => this.setConnected(true);
    this.source.onerror = () => this.setConnected(false);
    this.source.addEventListener("values", (event) => {
      const data = parseJson((event as MessageEvent<string>).data) as ValuesEvent;
      for (const [tag, value] of Object.entries(data.values))
        this.values.set(`${data.stream}.${tag}`, { value, ts: data.ts });
      this.changed();
    });
  }

  private shut(): void {
    this.source?.close();
    this.source = null;
    this.connected = false;
  }

  private setConnected(connected: boolean): void {
    this.connected = connected;
    this.changed();
  }

  private changed(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      for (const listener of this.listeners) listener();
    });
  }
}

const store = new LiveStore();

export function useLive(): { values: ReadonlyMap<string, LiveValue>; connected: boolean } {
  const [, setTick] = useState(0);
  useEffect(() => store.subscribe(() => setTick((tick) => tick + 1)), []);
  return { values: store.values, connected: store.connected };
}

// Asks again every periodMs while the page is shown; the last good answer stays on an error.
export function usePolled<T>(ask: () => Promise<T>, periodMs: number): [T | null, Error | null] {
  const [data, setData] = useState<T | null>(null);
  const [error, setError] = useState<Error | null>(null);
  useEffect(() => {
    let alive = true;
    const tick = async () => {
      try {
        const answer = await ask();
        if (!alive) return;
        setData(answer);
        setError(null);
      } catch (problem) {
        if (alive) setError(problem as Error);
      }
    };
    void tick();
    const timer = setInterval(() => void tick(), periodMs);
    return () => {
      alive = false;
      clearInterval(timer);
    };
  }, [ask, periodMs]);
  return [data, error];
}
