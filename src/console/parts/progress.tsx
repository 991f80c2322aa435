/** How far something is, in percent; without a value it is not known. One row of a long table has one: it is cheap. */
export function Progress({
  label,
  percent,
  text = percent === undefined ? "" : `${Math.floor(percent)} %`,
}: {
  readonly label: string;
  readonly percent: number | undefined;
  /** What stands beside the bar; the percent when left out. */
  readonly text?: string;
}) {
  return (
    <span className="progress">
      <progress aria-label={label} max={100} {...(percent !== undefined && { value: percent })} />
      <span className="value">{text}</span>
    </span>
  );
}
