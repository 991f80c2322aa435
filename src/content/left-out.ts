/** Is told what can't be content: where it is below the root, and why it is left out. */
export type LeaveOut = (place: string, reason: string) => void;

export function leaveOutWith(warn: (message: string) => void): LeaveOut {
  return (place, reason) => warn(`${quoted(place)} is left out: ${reason}`);
}

/** Names may hold control characters. */
export function quoted(place: string): string {
  return JSON.stringify(place);
}

/** Of several with one id, the first. */
export function withUniqueIds<T extends { readonly id: string; readonly place: string }>(
  places: Iterable<T>,
  leaveOut: LeaveOut,
): T[] {
  const unique = new Map<string, T>();
  for (const one of places) {
    const first = unique.get(one.id);
    if (first === undefined) unique.set(one.id, one);
    else leaveOut(one.place, `its id ${one.id} belongs to ${quoted(first.place)}`);
  }
  return [...unique.values()];
}

const rememberedWarnings = 1_000;

/** Passes each message on once, as long as it is among the last ones. */
export function once(warn: (message: string) => void): (message: string) => void {
  const told = new Set<string>();
  return (message) => {
    if (told.has(message)) return;
    if (told.size >= rememberedWarnings) told.clear();
    told.add(message);
    warn(message);
  };
}
