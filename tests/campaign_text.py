"""A campaign file that says a little of everything, which tests change."""

GOOD = """\
name: silicon
structures: [si8.extxyz]
protocol: fast
seed: 1
bootstrap:
  samplers: [rattle_strain: {frames: 24}]
  selection: [sanity, random: {frames: 12}]
sampling: [md: {temperatures: [300, 900], steps: 100, interval: 10}]
selection: [sanity, duplicates, farthest_point: {frames: 6}]
labelling: {quantumespresso: {kpoints: {mesh: [2, 2, 2], shift: [1, 1, 1]}, ecutwfc: 30 Ry}}
training: {hdnnp: {members: 4}}
stop: {forces: 100 meV/Å, energy: 5 meV/atom, labels: 60, iterations: {min: 1, max: 3}}
codes: {pw: {cores: 1, parallel: 2, walltime: 1 h}}
"""
