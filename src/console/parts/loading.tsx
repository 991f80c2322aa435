/** Stands where something is not there yet. */
export function Loading({ label }: { readonly label: string }) {
  return (
    <p role="status" className="loading">
      {label}…
    </p>
  );
}
