import { Label, ProgressBar } from "react-aria-components";

/** How far something is, in percent; without a value it is not known. */
export function Progress({
  label,
  percent,
  text,
}: {
  readonly label: string;
  readonly percent: number | undefined;
  /** What stands beside the bar; the percent when left out. */
  readonly text?: string;
}) {
  return (
    <ProgressBar
      className="progress"
      value={percent ?? 0}
      isIndeterminate={percent === undefined}
      {...(text !== undefined && { valueLabel: text })}
    >
      {({ percentage, valueText }) => (
        <>
          <Label className="visually-hidden">{label}</Label>
          <span className="track">
            <span className="fill" style={{ width: `${percentage ?? 0}%` }} />
          </span>
          <span className="value">{valueText}</span>
        </>
      )}
    </ProgressBar>
  );
}
