// Numbers for a person.

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B/s", "kB/s", "MB/s", "GB/s"];
  let rest = value, unit = 0;
  while (rest >= 1000 && unit < units.length - 1) { rest /= 1000; unit += 1; }
  return `${unit && rest < 10 ? rest.toFixed(1) : Math.round(rest)} ${units[unit]}`;
}

export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const left = Math.max(0, Math.round(seconds));
  const hours = Math.floor(left / 3600), minutes = Math.floor(left / 60) % 60;
  if (hours) return `${hours} h ${String(minutes).padStart(2, "0")} min`;
  return minutes ? `${minutes} min ${String(left % 60).padStart(2, "0")} s` : `${left} s`;
}

export const milliseconds = (value) => value === null || value === undefined ? "–" : `${value.toFixed(value < 10 ? 1 : 0)} ms`;

export const clock = (at) => new Date(at).toLocaleTimeString([], { hour12: false });

export const secondsSince = (at) => (at ? (Date.now() - Date.parse(at)) / 1000 : null);
