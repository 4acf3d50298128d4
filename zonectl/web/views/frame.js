/** What the screens outside a meeting share: the head with the name of the product, theme and language. */

import { h, icon, setIcon } from '../app/dom.js';
import { pref, setPref } from '../app/prefs.js';
import { chooseLanguage, language, LANGUAGES, t } from '../app/text.js';

const THEMES = ['auto', 'light', 'dark'];
const THEME_ICONS = { auto: 'auto', light: 'sun', dark: 'moon' };

/** Shows the theme that the person chose, or the system's. @param {string} theme */
export function applyTheme(theme) {
  if (theme === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

/** A button that goes through the themes. */
export function themeButton() {
  const button = h('button.ghost.round', { type: 'button', onclick: next });
  const show = () => {
    const theme = /** @type {keyof typeof THEME_ICONS} */ (pref('theme', 'auto'));
    setIcon(button, THEME_ICONS[theme]);
    const label = t('theme.label', { theme: t(`theme.${theme}`) });
    button.setAttribute('aria-label', label);
    button.title = label;
  };
  function next() {
    const theme = THEMES[(THEMES.indexOf(pref('theme', 'auto')) + 1) % THEMES.length];
    setPref('theme', theme);
    applyTheme(theme);
    show();
  }
  show();
  return button;
}

function languageChoice() {
  return h(
    'select.quiet',
    { 'aria-label': t('language.label'), onchange: (/** @type {Event} */ event) => chooseLanguage(/** @type {any} */ (event.target).value) },
    Object.entries(LANGUAGES).map(([code, name]) => h('option', { value: code, lang: code, selected: code === language() }, name)),
  );
}

export function brand() {
  const mark = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  mark.setAttribute('viewBox', '0 0 32 32');
  mark.setAttribute('class', 'mark');
  mark.setAttribute('aria-hidden', 'true');
  const shape = (/** @type {string} */ name, /** @type {Record<string, string>} */ attributes) => {
    const element = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    mark.append(element);
  };
  shape('rect', { width: '32', height: '32', rx: '9' });
  shape('path', { d: 'M7.5 22V11.6c0-1.5 1.9-2.2 2.9-1L16 17.2l5.6-6.6c1-1.2 2.9-.5 2.9 1V22' });
  shape('circle', { cx: '16', cy: '23', r: '2' });
  return h('a.brand', { href: '/' }, mark, h('span', {}, 'Meetzone'));
}

/**
 * A page outside the meeting.
 * @param {...any} content
 * @returns {HTMLElement}
 */
export function frame(...content) {
  return h(
    'div.frame',
    {},
    h('header.frame-head', {}, brand(), h('div.frame-tools', {}, languageChoice(), themeButton())),
    h('main.frame-main', { id: 'main' }, ...content),
    h('footer.frame-foot', {}, t('frame.foot')),
  );
}

/**
 * Two sentences about something that went wrong, spoken at once.
 * @param {import('../app/errors.js').Trouble} trouble
 * @param {...any} more
 */
export function troubleBox(trouble, ...more) {
  return h('div.trouble', { role: 'alert' }, icon('warning'), h('div', {}, h('strong', {}, trouble.text), ' ', trouble.advice, ...more));
}

/**
 * A labelled field.
 * @param {string} label
 * @param {HTMLElement} control
 * @param {string} [hint]
 */
export function field(label, control, hint) {
  const id = control.id || `field-${Math.random().toString(36).slice(2, 9)}`;
  control.id = id;
  if (hint) control.setAttribute('aria-describedby', `${id}-hint`);
  return h('div.field', {}, h('label', { for: id }, label), control, hint ? h('p.hint', { id: `${id}-hint` }, hint) : null);
}
