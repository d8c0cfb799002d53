// Texts that try to be more than text.
const SHAPES = [
  (n) => `<script>alert(${n})</script>`,
  (n) => `"><img src=x onerror=alert(${n})>`,
  (n) => `'"><svg/onload=alert(${n})>`,
  (n) => `</script><script>alert(${n})</script>`,
  (n) => `</title><body onload=alert(${n})>`,
  (n) => `<iframe srcdoc="<script>alert(${n})</script>"></iframe>`,
  (n) => `<a href="javascript:alert(${n})">a ${n}</a>`,
  (n) => `javascript:alert(${n})`,
  (n) => `data:text/html,<script>alert(${n})</script>`,
  (n) => `<base href=//evil.example/${n}>`,
  (n) => `<link rel=stylesheet href=//evil.example/${n}.css>`,
  (n) => `<meta http-equiv=refresh content="0;url=//evil.example/${n}">`,
  (n) => `<form action=//evil.example/${n}><button>go</button></form>`,
  (n) => `<object data=//evil.example/${n}></object>`,
  (n) => `<math><mi xlink:href="javascript:alert(${n})">x</mi></math>`,
  (n) => `x" autofocus onfocus=alert(${n}) y="`,
  (n) => `<style>*{display:none}/*${n}*/</style>`,
  (n) => `<!-- ${n} `,
  (n) => `--><b>${n}</b>`,
  (n) => `]]>${n}<![CDATA[`,
  (n) => `&lt;script&gt;alert(${n})&lt;/script&gt;`,
  (n) => `&#x3c;img src=x onerror=alert(${n})&#x3e;`,
  (n) => `%3Cscript%3Ealert(${n})%3C/script%3E`,
  (n) => `{{${n}*7}} \${${n}*7} #{${n}*7} <%= ${n} %>`,
  (n) => `'; DROP TABLE trades; -- ${n}`,
  (n) => `</dd></dl></section></main>${n}`,
  (n) => `\u202Eeht ${n} \u202C\u200B\uFEFFend`,
  (n) => `line ${n}\u2028two`,
  (n) => `<details open ontoggle=alert(${n})>`,
  (n) => `<video><source onerror=alert(${n})></video>`,
];

// Strings of a file by their table, in the order in which an asset's page shows them.
const CURRENCY = ["name", "desc", "anchor_asset_type", "anchor_asset", "redemption_instructions", "conditions", "status"];
const PICTURE = "https://evil.example/picture.png";

// The text as a page shows it: hidden characters are removed, line breaks are spaces.
export const shown = (text) => text.replaceAll(/[\u202A-\u202E\u200B\uFEFF]/g, "").replaceAll("\u2028", " ").trim();

// Writes hostile texts into all fields of stellar.toml files. `texts` are those of each asset by its id.
export class HostileFiles {
  constructor() {
    this.texts = new Map();
    this.files = new Map();
    this.count = 0;
  }

  text() {
    const text = SHAPES[this.count % SHAPES.length](this.count);
    this.count += 1;
    return text;
  }

  // The file, changed: the same one each time.
  rewrite(url, text) {
    if (!this.files.has(url)) this.files.set(url, this.changed(text));
    return this.files.get(url);
  }

  changed(text) {
    const line = (key, value) => `${key} = ${JSON.stringify(value)}`;
    const organisation = [this.text(), this.text()];
    const [head, ...currencies] = text.split("[[CURRENCIES]]");
    const blocks = currencies.map((block) => {
      const code = block.match(/^code = "(.*)"$/m)?.[1];
      const issuer = block.match(/^issuer = "(.*)"$/m)?.[1];
      if (!code || !issuer) return block;
      const texts = CURRENCY.map((key) => [key, this.text()]);
      this.texts.set(`${code}-${issuer}`, [...organisation, ...texts.map(([, text]) => text)].map(shown));
      const rest = [["code", code], ["issuer", issuer], ["image", PICTURE], ["attestation_of_reserve", this.text()]];
      return `\n${[...rest, ...texts].map(([key, text]) => line(key, text)).join("\n")}\nis_asset_anchored = true\n\n`;
    });
    const named = head
      .replace(/^ORG_NAME = .*$/m, line("ORG_NAME", organisation[0]))
      .replace(/^ORG_URL = .*$/m, line("ORG_URL", organisation[1]));
    return [`${named}ORG_LOGO = ${JSON.stringify(PICTURE)}\n`, ...blocks].join("\n[[CURRENCIES]]");
  }
}
